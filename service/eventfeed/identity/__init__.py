"""Identity: external tokens are verified and exchanged for platform tokens, which tell who is asking."""
