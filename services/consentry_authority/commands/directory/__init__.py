"""Partners, customers, subscriptions and connections: one use case a file."""
