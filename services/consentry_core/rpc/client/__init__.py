"""The client's side of gRPC: channels that follow their certificates, and giving up calls on which nothing comes any more.

In: an address and certificates. Out: a channel. Imports `values`, `process` and `pacing`.
"""
