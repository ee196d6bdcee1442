"""The hub's exchanges as DAGs, for an Airflow with a plain folder of DAGs; reads the snapshot in SHUTONG_HOME.

Nobody makes the endpoints' pools there: all run in the default pool. With the bundle of docs/airflow.md each
endpoint has its own.
"""

from exchange.scheduling.batches import dags
from exchange.scheduling.factory import planned

globals().update(planned(pooled=False) | dags())
