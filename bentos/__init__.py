"""The HTTP shape (BentoML); nothing is computed here."""
