"""MLflow: runs, registered versions, champion and challenger, lineage."""
