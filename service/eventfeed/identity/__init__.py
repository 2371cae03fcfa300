"""Identity: external tokens are verified and exchanged for platform tokens, which identify the caller."""
