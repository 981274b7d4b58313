"""What was read and refused here, counted, kept on disk, and told to the authority.

In: each write and refusal. Out: reports, until each is acknowledged.
"""
