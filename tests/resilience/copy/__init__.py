"""The import of a large table: its rate, and a kill in its middle."""
