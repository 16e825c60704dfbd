"""Prediction log, drift reports, the retrain governor, metrics."""
