"""The DAG that the tests start: a run of it has no task, so that nobody needs to execute one."""

from airflow.sdk import DAG

with DAG(dag_id="retrain_fraud", schedule=None, is_paused_upon_creation=False):
    pass
