"""The audit log: who did what, and who was refused what. Without I/O: `storage.audit` keeps it."""
