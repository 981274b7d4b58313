"""What both services need and neither owns: clock, errors, names, settings, logs, database, gRPC plumbing (`rpc`)."""
