"""The customers' access log: what enforcement points report that keys read, kept and answered from.

In: reports of services. Out: rows per key and hour, and the intervals of which nobody told. Imports core and the rule.
"""
