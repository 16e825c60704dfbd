"""Measures detectors on clips of many generators: `make cross-set DATA=folder`."""
