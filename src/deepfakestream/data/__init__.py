"""The set: layouts, manifest, splits, packed crops, expectations, versions."""
