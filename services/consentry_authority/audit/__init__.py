"""The audit log: who did what, and who was refused what.

In: refusals and failures, and what services tell of theirs. Out: entries, which `storage` numbers and seals behind `ports`.
`chain` says what an entry is, and verifies a log; `writing` notes on the event loop and writes by the dozen.
"""
