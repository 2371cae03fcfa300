"""The Cosmos DB emulator: a real, separate process, started by whoever needs one."""
