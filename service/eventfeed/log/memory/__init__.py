"""The newest entries in memory: tail, index and waiting readers."""
