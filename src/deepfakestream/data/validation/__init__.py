"""Data validation before training: rules over items, crops and splits, checked with Great Expectations."""
