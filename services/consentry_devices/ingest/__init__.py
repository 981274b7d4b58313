"""Frames on their way in: each gateway's stream and quota, into the one appender, acknowledged once committed.

In: frames from `rpc.gateway`. Out: `log.appender`'s groups, and acknowledgements. Imports `domain` and `log`.
"""
