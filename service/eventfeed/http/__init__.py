"""The wire: routes, what bytes mean, and how each failure is told."""
