"""SRM, networks, the spec that travels with the weights, scoring, calibration, export."""
