"""Secrets: their format and checksum, Argon2id in a bounded pool, and the files that hold the checksum keys.

In: a secret, or the wish for one. Out: whose it says it is, whether its hash fits, a new one that is shown once.
Imports core only.
"""
