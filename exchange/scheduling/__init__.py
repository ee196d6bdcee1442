"""What Airflow schedules (排班): plans from the hub's snapshot, an operator, triggers, the processes around them."""
