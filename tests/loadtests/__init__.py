"""Tests of the load tests: their checks, their goals, and their reports of faults."""
