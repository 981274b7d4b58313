"""How a running service is seen: metrics, and HTTP for probes and Prometheus at an address of its own.

In: what happened, told in one call where it is known, and functions that say how things stand. Out: `/metrics`, `/livez` and
`/readyz`. No customer, partner or key is a label. Imports `values` and `process`.
"""
