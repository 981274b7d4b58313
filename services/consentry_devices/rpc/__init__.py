"""The service's gRPC side: servicers of about ten lines a method, converters in pairs, policies."""
