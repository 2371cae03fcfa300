"""Slow clients: silent connections, readers of large pages and streams that take little, beside one caller in a hurry.

`make slow-clients` runs the full test.
"""
