"""The hub's exchanges as DAGs, for an Airflow with a plain folder of DAGs; reads the snapshot in SHUTONG_HOME."""

from exchange.scheduling.batches import dags
from exchange.scheduling.factory import planned

globals().update(planned() | dags())
