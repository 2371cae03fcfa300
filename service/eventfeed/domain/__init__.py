"""Values and decisions: no clock, no random numbers, no input or output."""
