"""Composition root: builds the service from its settings. The only package that chooses engines."""
