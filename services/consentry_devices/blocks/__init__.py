"""Blocks of readings as packed columns: checked once when they come in, never decoded reading by reading after that.

In: bytes from outside. Out: the same bytes, known to be well-formed, and the numbers in them as arrays. `wire` is the few rules
of protobuf that this takes. Imports numpy, `domain.limits` and the generated code.
"""
