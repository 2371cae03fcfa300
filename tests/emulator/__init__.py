"""The Cosmos DB emulator: a separate process, with databases and logs for tests."""
