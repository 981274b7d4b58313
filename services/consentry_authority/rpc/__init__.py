"""The authority's gRPC side: who may call what (`policies`, `gate`), servicers that only translate, converters in pairs."""
