"""The audit log and the customers' access log in the database."""
