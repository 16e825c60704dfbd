"""The HTTP shape: what BentoML runs, scales and probes."""
