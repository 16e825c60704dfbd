"""What the machine gives: whole files, locks, processes, SQLite files, and text on a terminal."""
