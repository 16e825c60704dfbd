"""Promotion: the statistical gate, the ledger of decisions, and the note on version and run."""
