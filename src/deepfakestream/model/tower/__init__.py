"""A public image tower (CLIP ViT-B/16) whose layer norms are tuned: the second half of the accurate detector.

The package ships what was tuned and a graph without weights. The tower itself is fetched once.
"""
