"""eventfeed: publishers post CloudEvents, consumers follow one strictly increasing sequence.

Reading order: `domain` (values and decisions), `log` (the sequence), `identity` and `access` (callers and their
rights), `http` (the API), `app` (the parts put together), `cli` (commands) and `client` (a library for consumers and
publishers). The terms are defined in `docs/glossary.md`.
"""
