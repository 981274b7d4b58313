"""Before and beside serving: first start, backup and restore, offline verification of the audit log, removal of what is old.

In: a data folder. Out: the same, changed, and words about it. May import `storage`, for it opens it.
"""
