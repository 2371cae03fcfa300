"""The load tests themselves: what they compare, what they promise, and that they notice."""
