"""What the authority keeps, in SQL. Portable: what only one database understands is in `consentry_core.sql.database`."""
