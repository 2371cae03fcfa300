"""`make bench`: measurements of the service, most of them relative to bare handlers or bare SQLite."""
