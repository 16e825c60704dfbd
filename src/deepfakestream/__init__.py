"""DeepfakeStream finds face-swap deepfakes in videos and images and keeps its model honest over time."""

from deepfakestream.telemetry import switch_off

__version__ = "0.1.0"

# The libraries read their switches when they are imported, so these must be set before any of them is.
switch_off()
