"""Where readings come from. `polling` is the seam: a new source is one file here and its profiles.

In: agents of the agents file. Out: raw answers for `reading`, on time, and the reason in words when there is none.
"""
