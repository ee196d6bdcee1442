"""The hub's housekeeping as DAGs, for an Airflow with a plain folder of DAGs."""

from exchange.scheduling.keeping import dags

globals().update(dags())
