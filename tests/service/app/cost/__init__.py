"""Tests of the price model."""
