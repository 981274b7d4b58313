"""Enforcement: what each guard follows and is owed, who is a member, and when a change counts as enforced everywhere.

In: what guards say, news of commits, the time. Out: what they are told, and receipts. `coordinator` says what happens in which
order, without I/O, as `flows`; `runner` carries that out over `ports`, and the model over a simulated database.
"""
