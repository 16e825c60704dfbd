"""One thin module a step: reads params, calls packages, writes artifacts."""
