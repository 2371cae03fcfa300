"""A storm: many writers and readers in several processes, a worker killed in the middle; nothing may go wrong.

`make storm` runs it in full. What must hold in the end: every event that has a receipt is in the log once, at the
sequence of its receipt; sequences are dense; every follower saw exactly its part, in order, in pages of any size.
"""
