"""Members and receipts, which are no history: they draw no revision."""
