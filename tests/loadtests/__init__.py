"""Tests of the load tests: their checks, their goals, and that a run notices faults."""
