"""Taking labelled media into `data/`: layouts, examination, groups and duplicates."""
