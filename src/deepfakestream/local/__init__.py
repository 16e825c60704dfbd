"""The whole system on one machine: starts and stops MLflow, Prefect, the flows and the service."""
