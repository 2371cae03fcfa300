"""Reconnect test: a consumer follows a feed while its connections break and its process is killed.

Every event must arrive exactly once and in order. `make reconnect` runs the full test, on SQLite and on a Cosmos DB
emulator.
"""
