"""What the authority can be asked to do: one use case a file, free of gRPC, SQL and generated code.

A use case is a function of a `Transaction` (it changes something) or of a `View` (it only looks), found in `ports`.
`Store.write` and `Store.read` run it; everything that it changed is committed when it returns, and nothing when it raises.
"""
