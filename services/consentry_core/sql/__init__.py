"""SQL databases: threads around them, copies of them, and whether one can still be written.

In: functions that take a connection. Out: what they return, each in a transaction or a snapshot of its own. Beside the
services' `storage` the only place that imports SQLAlchemy. Imports `values`, `process` and `pacing`.
"""
