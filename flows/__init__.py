"""When, retries and side effects (Prefect); nothing is computed here."""
