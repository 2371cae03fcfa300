"""Authorisation property test: random readers of random logs, each of which must see exactly what it may.

`make authorisation` runs 100,000 cases, `make test` 5,000.
"""
