"""The data card: statistics, plots and known limits of a dataset."""
