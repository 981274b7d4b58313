"""The tables. A test holds the migrations to them.

Times are nanoseconds since the Unix epoch. Rows of partners, customers, connections, keys and tokens are never deleted: ids are
not used twice, and a standing keeps its anchor (`connections.opened_number`) when the two part, as `key_listings` keeps that of
a customer that is taken off a list.
"""

import sqlalchemy as sa

from consentry_authority.storage.schema.log_tables import (
    access_gaps,
    access_points,
    accesses,
    audit,
    audit_base,
    audit_customers,
    audit_head,
)
from consentry_authority.storage.schema.metadata import metadata

__all__ = [
    "access_gaps",
    "access_points",
    "accesses",
    "audit",
    "audit_base",
    "audit_customers",
    "audit_head",
    "changes",
    "checksum_keys",
    "connections",
    "consents",
    "customers",
    "field_numbers",
    "key_customers",
    "key_listings",
    "keys",
    "members",
    "metadata",
    "partners",
    "receipt_points",
    "receipt_subjects",
    "receipts",
    "requests",
    "revision",
    "secrets",
    "settings",
    "tokens",
]

partners = sa.Table(
    "partners",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("rehearsing", sa.Boolean, nullable=False),
    # `opened_number` and `closed_number` of the demo customer: it is open from before the first key until a rehearsal.
    sa.Column("demo_opened_number", sa.BigInteger, nullable=False, server_default="1"),
    sa.Column("demo_closed_number", sa.BigInteger, nullable=False, server_default="0"),
)

customers = sa.Table(
    "customers",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("demo", sa.Boolean, nullable=False),
    sa.Column("plan", sa.Text),  # NULL: has never had a subscription
    sa.Column("subscription_expire_time", sa.BigInteger),
    sa.Column("subscription_cancel_time", sa.BigInteger),
)

connections = sa.Table(
    "connections",
    metadata,
    sa.Column("partner", sa.Text, sa.ForeignKey("partners.id"), primary_key=True),
    sa.Column("customer", sa.Text, sa.ForeignKey("customers.id"), primary_key=True),
    sa.Column("connect_time", sa.BigInteger, nullable=False),
    sa.Column("disconnect_time", sa.BigInteger),
    sa.Column("opened_number", sa.BigInteger, nullable=False),
    sa.Column("closed_number", sa.BigInteger, nullable=False),
    sa.Column("class_numbers", sa.Text, nullable=False),
    sa.Index(None, "customer", "partner"),
)

consents = sa.Table(
    "consents",
    metadata,
    sa.Column("customer", sa.Text, primary_key=True),
    sa.Column("partner", sa.Text, primary_key=True),
    sa.Column("grant_time", sa.BigInteger, nullable=False),
    sa.Column("expire_time", sa.BigInteger),
    sa.Column("data_start_time", sa.BigInteger, nullable=False),
    sa.Column("data_classes", sa.Text, nullable=False),  # joined by commas, one by one
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("revoke_time", sa.BigInteger),
    sa.ForeignKeyConstraint(["partner", "customer"], ["connections.partner", "connections.customer"]),
)

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("partner", sa.Text, sa.ForeignKey("partners.id"), primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("creator", sa.Text, nullable=False),
    sa.Column("expire_time", sa.BigInteger),
    sa.Column("disabled", sa.Boolean, nullable=False),
    sa.Column("delete_time", sa.BigInteger),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("labels", sa.Text),  # JSON; NULL: none
    sa.Column("networks", sa.Text),  # joined by commas; NULL: from everywhere
    sa.Column("calls_per_minute", sa.BigInteger),  # NULL: no limit
    sa.Column("open_streams", sa.BigInteger),  # likewise
    sa.Column("audiences", sa.Text),  # joined by commas; NULL: all
    sa.Column("customer_count", sa.BigInteger, nullable=False, server_default="0"),  # on its list
    sa.Column("list_number", sa.BigInteger, nullable=False, server_default="0"),  # of the last change of its list
)

key_customers = sa.Table(
    "key_customers",
    metadata,
    sa.Column("partner", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("customer", sa.Text, sa.ForeignKey("customers.id"), primary_key=True),
    sa.ForeignKeyConstraint(["partner", "key"], ["keys.partner", "keys.id"]),
)

# What readers that come back ask of a list: one row for each customer that is or was on it. Written with the number of the
# change, when that is known; `key_customers` says who is on the list now.
key_listings = sa.Table(
    "key_listings",
    metadata,
    sa.Column("partner", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("customer", sa.Text, sa.ForeignKey("customers.id"), primary_key=True),
    sa.Column("first_number", sa.BigInteger, nullable=False),  # of the change that first put it on the list
    sa.Column("listed_number", sa.BigInteger, nullable=False),  # of the last one that did
    sa.Column("unlisted_number", sa.BigInteger, nullable=False),  # of the last one that took it off; 0: none did
    sa.ForeignKeyConstraint(["partner", "key"], ["keys.partner", "keys.id"]),
    # What has changed since a number, without a look at everybody else.
    sa.Index(None, "partner", "key", "listed_number"),
    sa.Index(None, "partner", "key", "unlisted_number"),
)

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("organization", sa.Text, nullable=False),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("creator", sa.Text, nullable=False),
    sa.Column("expire_time", sa.BigInteger),
    sa.Column("delete_time", sa.BigInteger),
    sa.Column("audience", sa.Text),  # of services; NULL: none
    sa.Column("partners", sa.Text),  # of services: resource names, joined by commas; NULL: everybody's
    sa.Index(None, "organization", "id"),
)

secrets = sa.Table(
    "secrets",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("credential", sa.Text, nullable=False),  # the resource name of a key or token
    sa.Column("argon2_hash", sa.Text),  # NULL: dead
    sa.Column("hint", sa.Text, nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("expire_time", sa.BigInteger),
    sa.Column("checksum_key", sa.Text),  # its id; NULL: any of those that there are
    sa.Column("kill_time", sa.BigInteger),  # NULL: lives, or died before this was written down
    sa.Column("last_use_time", sa.BigInteger),  # up to a minute late; no part of the history
    sa.Index(None, "credential"),
)

# One row. Writing transactions update it, so they commit in the order of the numbers they draw: whoever has read up to a number
# has missed nothing before it. A number that were drawn from a sequence could be committed after a later one.
revision = sa.Table(
    "revision",
    metadata,
    sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1", name="one_row"), primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.Text, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
)

changes = sa.Table(
    "changes",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("subject", sa.Text, primary_key=True),  # a credential's or a standing's name
    sa.Column("commit_time", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),  # the credential that it was done with
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("organization", sa.Text),  # that it was made for; NULL: nobody's, or not known
)

# The enforcement points that may hold a lease. `leases` counts what was granted; no time is kept that another machine would
# have to compare.
members = sa.Table(
    "members",
    metadata,
    sa.Column("incarnation", sa.Text, primary_key=True),
    sa.Column("service", sa.Text, nullable=False),
    sa.Column("join_time", sa.BigInteger, nullable=False),
    sa.Column("leases", sa.BigInteger, nullable=False),
    sa.Column("applied_epoch", sa.Text),  # NULL: has acknowledged nothing yet
    sa.Column("applied_number", sa.BigInteger),
    sa.Column("token", sa.Text),  # whose it is; NULL: not known yet
)

# One for every change that took access away, written with the change; how it was enforced is written when it was.
receipts = sa.Table(
    "receipts",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("commit_time", sa.BigInteger, nullable=False),
    sa.Column("organization", sa.Text, nullable=False),  # whose credential it was done with
    sa.Column("enforce_time", sa.BigInteger),  # NULL: pending
    sa.Column("point_count", sa.BigInteger),  # of enforcement points there were; NULL: as many as `receipt_points` has
    sa.Column("acknowledged_count", sa.BigInteger),  # likewise, of those that acknowledged
)

receipt_subjects = sa.Table(
    "receipt_subjects",
    metadata,
    sa.Column("number", sa.BigInteger, sa.ForeignKey("receipts.number"), primary_key=True, autoincrement=False),
    sa.Column("subject", sa.Text, primary_key=True),  # what it was taken away from: a credential or a standing; empty: anything
    sa.Index(None, "subject", "number"),
)

# By which change each field of a resource came to be what it is; see `storage.history.marks`.
field_numbers = sa.Table(
    "field_numbers",
    metadata,
    sa.Column("resource", sa.Text, primary_key=True),
    sa.Column("field", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
)

# What enforcement points did about a change: at most so many of each (`barriers.MOST_POINTS`).
receipt_points = sa.Table(
    "receipt_points",
    metadata,
    sa.Column("number", sa.BigInteger, sa.ForeignKey("receipts.number"), primary_key=True, autoincrement=False),
    sa.Column("incarnation", sa.Text, primary_key=True),
    sa.Column("service", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("acknowledge_time", sa.BigInteger),
)

# What came of requests that had an id, so that one that is sent twice is carried out once.
requests = sa.Table(
    "requests",
    metadata,
    sa.Column("caller", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),  # a hash of what was asked
    sa.Column("resource", sa.Text, nullable=False),  # what came of it, by name
    sa.Index(None, "create_time"),
)

# The keys of checksums that secrets were made with: by what is kept, one can be recognised and none be made.
checksum_keys = sa.Table(
    "checksum_keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("mark", sa.Text, nullable=False),
)

# What this database has drawn for itself, in base64url.
settings = sa.Table(
    "settings",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
