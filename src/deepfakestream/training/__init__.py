"""From face crops to weights: augmentations, sampling, losses, the loop."""
