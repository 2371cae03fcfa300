"""Access: the register of organisations and people, and decisions on who may read an event."""
