"""The log: how the sequence is kept. `appender`, `tail` and `reader` are written once, over any engine."""
