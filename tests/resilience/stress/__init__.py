"""Stress test: many publishers and followers in several processes, while service workers are killed.

`make stress` runs it in full. At the end every event with a receipt must be in the log once, at the sequence of its
receipt. Sequences must be dense. Every follower must have read exactly its part, in order, in pages of any size.
"""
