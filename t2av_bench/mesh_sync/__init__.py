"""Lip sync from face landmarks and sound: features, a small two-branch network of our own, and its training."""
