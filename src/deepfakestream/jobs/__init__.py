"""Analyses that outlive a request: their durable store, queue, events, media, usage and webhooks."""
