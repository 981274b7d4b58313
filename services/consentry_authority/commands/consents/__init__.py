"""Consents and their history: one use case a file."""
