"""Helpers for tests: events, engines, a running service and doubles of other systems."""
