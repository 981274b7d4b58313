"""Who is calling the authority, and may it: authenticate, look up current facts, apply the method's policy, count.

In: a call's method, metadata and peer. Out: an `Actor`, or a refusal that is noted for the audit log. `gate` has the order of
the steps. Imports `secrets`, `audit` and the ports of `commands`; never `storage`.
"""
