"""The authority: issues keys, records consent, and knows at every moment which customers a key covers.

`commands` says what can be done, `storage` keeps it, `enforcement` tells the guards, `rpc` speaks gRPC, `app` puts them
together.
"""
