"""What both services need and neither owns: `values` and `callers`, then `process`, `pacing`, `protocol`, `sql`, `rpc`."""
