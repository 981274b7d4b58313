"""Who calls: the kinds of callers and what each may call, remembered identities, and what is left of a key's quota.

In: a table of methods, or a secret that was proved once. Out: a decision, or whose the secret is.
Imports `values` and the rule. Knows no transport.
"""
