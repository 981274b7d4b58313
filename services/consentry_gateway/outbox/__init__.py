"""What is still to be sent, on disk, and what a restart must not forget.

In: polls, by `pipeline`. Out: frames for `publishing`, each until it is acknowledged. Imports `reading` only.
"""
