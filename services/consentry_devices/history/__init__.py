"""The past: ranges of readings, raw or per step, read piece by piece from the log's blocks.

In: a question about a time range. Out: columns of bounded size. Imports `blocks`, `domain` and `log`.
"""
