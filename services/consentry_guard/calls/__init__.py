"""The calls that are open behind the guard, and the check that each of their writes passes.

In: an admitted attempt and what `follow` knows. Out: writes that were checked in the step that began them. No gRPC.
"""
