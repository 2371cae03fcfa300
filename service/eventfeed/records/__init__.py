"""Approvals and the audit log: one implementation for each engine."""
