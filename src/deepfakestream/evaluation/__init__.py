"""Evaluation: scores of a split, metrics, slices, robustness, plots, the report and the ablation table."""
