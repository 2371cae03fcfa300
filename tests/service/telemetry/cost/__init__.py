"""The cost of telemetry: the same service with and without it, in one run of `make cost`."""
