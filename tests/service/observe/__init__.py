"""The page that observes."""
