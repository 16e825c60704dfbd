"""Face extraction over a dataset: jobs, executors, the store of finished items, the crop shards."""
