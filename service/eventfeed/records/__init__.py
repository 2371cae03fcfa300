"""Approvals and the audit log, with an implementation for each engine."""
