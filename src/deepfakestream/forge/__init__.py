"""Labelled fakes from real faces: self-blending and face swaps."""
