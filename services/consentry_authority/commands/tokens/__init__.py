"""Tokens of everybody who is no partner's API key: one use case a file."""
