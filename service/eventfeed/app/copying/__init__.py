"""The copy of a store: its log, approvals and audit log, between any two engines."""
