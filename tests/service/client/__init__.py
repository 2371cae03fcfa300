"""The consumer's client."""
