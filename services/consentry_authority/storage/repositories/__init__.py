"""The things that commands change, and the facts that decisions read: one file a kind.

In: a connection of the store's. Out: records and facts as the ports of `commands` name them. No filter by validity: the rule
decides.
"""
