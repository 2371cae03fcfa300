"""Long-running tests: stress, reconnects, authorisation and planted faults."""
