"""Frames to tracks to crops: detectors, tracking, and the only crop in the project."""
