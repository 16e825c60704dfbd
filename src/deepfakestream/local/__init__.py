"""The whole system on one machine: the starter of its servers, sample data and the demo."""
