"""Everything of `Publish`: frames from gateways, parsed and checked as far as a frame can be by itself.

In: encoded frames. Out: `domain.frames` for `ingest`, and acknowledgements.
"""
