"""Who is next, who waits, and for how long: lanes and turns, bells, jitter, silence.

In: work that others want done on one event loop or a few threads. Out: the same work in an order in which nobody starves
anybody. Imports `values` only; knows neither gRPC nor a database.
"""
