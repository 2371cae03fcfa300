"""Fuzzing: hostile headers, bodies, parameters, paths, cursors and tokens, which get an answer that is never a 5xx.

Requests are valid ones with some changes from a seed. Most go to the application in this process, the rest as bytes to
a real server. `make fuzz` sends a million.
"""
