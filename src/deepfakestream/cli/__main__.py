"""Lets `python -m deepfakestream.cli` do what the program `deepfakestream` does."""

from deepfakestream.cli import main

main()
