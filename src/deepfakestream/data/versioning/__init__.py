"""Versions of a dataset in DVC, their remotes, and deleting items from all of them."""
