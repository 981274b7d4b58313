"""The audit log: who did what, and who was refused what. `AuditLog` writes what was refused through `ports`."""
