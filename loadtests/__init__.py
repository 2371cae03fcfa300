"""Load on a running service: benchmarks, from outside, over HTTP alone."""
