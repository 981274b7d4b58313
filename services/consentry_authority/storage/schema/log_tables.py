"""The tables of the two logs: part of `tables`."""

import sqlalchemy as sa

from consentry_authority.storage.schema.metadata import metadata

# The audit log; see `audit.chain`. Nothing is ever changed in it, and nothing is removed that was not exported: in SQLite,
# triggers see to that.
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("organization", sa.Text, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("peer", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),  # of the history; 0: none
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Index(None, "revision"),
)

# One row: the end of the log. Whoever appends updates it first, so entries are chained in the order of their numbers.
audit_head = sa.Table(
    "audit_head",
    metadata,
    sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1", name="one_head"), primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
)

# One row: the last entry that was exported and removed, or is being removed; number 0 when none was.
audit_base = sa.Table(
    "audit_base",
    metadata,
    sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1", name="one_base"), primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
)

# Where a customer's own history is found in the log. `partner` is empty for what concerns the customer alone.
audit_customers = sa.Table(
    "audit_customers",
    metadata,
    sa.Column("customer", sa.Text, primary_key=True),
    sa.Column("time", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, sa.ForeignKey("audit.number"), primary_key=True, autoincrement=False),
    sa.Column("partner", sa.Text, primary_key=True),
)

# What keys read of customers' data, by the incarnation that counted it; see `storage.logs.access_log`.
accesses = sa.Table(
    "accesses",
    metadata,
    sa.Column("customer", sa.Text, primary_key=True),
    sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),  # when it began
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("data_class", sa.Text, primary_key=True),  # empty: of refusals that name none
    sa.Column("incarnation", sa.Text, primary_key=True),
    sa.Column("messages", sa.BigInteger, nullable=False),
    sa.Column("readings", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("devices", sa.BigInteger, nullable=False),
    sa.Column("refusals", sa.BigInteger, nullable=False),
    sa.Index(None, "hour"),
)

access_points = sa.Table(
    "access_points",
    metadata,
    sa.Column("incarnation", sa.Text, primary_key=True),
    sa.Column("token", sa.Text),  # the one that spoke for it first: no other may. NULL: not known yet
    sa.Column("service", sa.Text, nullable=False),
    sa.Column("reported_until", sa.BigInteger, nullable=False),
    sa.Column("last_number", sa.BigInteger, nullable=False),
    sa.Column("done", sa.Boolean, nullable=False),  # its last report has come
    sa.Column("served_until", sa.BigInteger, nullable=False),  # by when it has ceased to serve, or its newest lease has ended
)

access_gaps = sa.Table(
    "access_gaps",
    metadata,
    sa.Column("incarnation", sa.Text, primary_key=True),
    sa.Column("start_time", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("end_time", sa.BigInteger, nullable=False),
    sa.Column("service", sa.Text, nullable=False),
    sa.Column("token", sa.Text),  # whose it is; NULL: not known
)
