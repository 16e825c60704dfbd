"""One thin module a step: reads params, calls rooms, writes artifacts."""
