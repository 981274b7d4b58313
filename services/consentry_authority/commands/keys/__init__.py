"""API keys and their secrets: one use case a file."""
