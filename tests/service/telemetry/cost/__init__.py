"""What telemetry costs: the same service with and without it, in one run. `make cost`."""
