"""Access: who exists, and who may act for whom."""
