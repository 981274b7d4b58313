"""The server's side of gRPC: a server with its gate, and everything that stands before the gate.

A call goes `doorkeeper` -> `gate` (authenticate, admit) -> `first_message` -> servicer; every message out passes `open_call`.
In: calls from anybody. Out: calls that were let in, and refusals with an error of ours. Imports `values`, `callers`, `process`
and `pacing`; knows neither service.
"""
