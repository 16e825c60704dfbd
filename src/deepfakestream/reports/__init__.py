"""Reports on a verdict for people: one page of HTML, and the same to print."""
