"""Metrics, operating points, plots and the statistical gate."""
