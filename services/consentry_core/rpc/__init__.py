"""gRPC plumbing that both services and all clients share."""
