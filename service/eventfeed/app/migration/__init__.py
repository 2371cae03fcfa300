"""The import of the events of the replaced platform, Altinn 3, from its table."""
