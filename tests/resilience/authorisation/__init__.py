"""Random readers of random logs among random populations: each sees exactly what it may.

`make cases` runs 100,000; `make test` a few.
"""
