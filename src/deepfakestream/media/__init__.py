"""Bytes to frames: probing, decoding within budgets, images and videos alike."""
