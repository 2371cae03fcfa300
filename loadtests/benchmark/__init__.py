"""`make bench`: ratios of speed from one run, and what the service weighs. Machines are noisy: ratios, not rates."""
