"""What the device-data service keeps, in SQL: the log, the tables of current state, and where each gateway stands.

The only place here that knows SQLAlchemy. What SQLite and PostgreSQL spell differently is in `consentry_core.sql.inserting`.
"""
