"""Authorisation property test: a random reader of a random log must get exactly the events it may read.

`make authorisation` runs 100,000 cases, `make test` 5,000.
"""
