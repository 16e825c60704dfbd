"""Media to verdict: the one engine behind the command line, the service and evaluation."""
