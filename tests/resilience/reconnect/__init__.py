"""A consumer that follows while its connections break, and while it is killed: nothing missed, doubled or out of order.

`make follow` runs it in full, on SQLite and on a Cosmos DB emulator.
"""
