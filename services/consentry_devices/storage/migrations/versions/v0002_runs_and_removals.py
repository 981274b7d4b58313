"""Runs, what retention has removed, when each entry was taken in, and how long a time its data spans."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "runs",
        sa.Column("first_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("first_seq"),
    )
    op.create_table(
        "removals",
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("data_class", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("customer", "data_class"),
    )
    _rebuild_log()
    _rebuild_store()


def _rebuild_log() -> None:
    op.drop_index("log_by_time", "log")
    op.rename_table("log", "log_before")
    op.create_table(
        "log",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("data_class", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("device", sa.Text, nullable=True),
        sa.Column("min_time", sa.BigInteger, nullable=False),
        sa.Column("max_time", sa.BigInteger, nullable=False),
        sa.Column("span_class", sa.BigInteger, nullable=False),
        sa.Column("take_time", sa.BigInteger, nullable=False),
        sa.Column("historical", sa.Boolean, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    # When the old entries were taken in was not kept. It was not before their data was measured, as far as clocks go.
    op.execute(
        "INSERT INTO log "
        "(seq, customer, data_class, kind, device, min_time, max_time, span_class, take_time, historical, payload) "
        "SELECT seq, customer, data_class, kind, device, min_time, max_time, "
        "CASE WHEN max_time - min_time <= 3600000000000 THEN 0 WHEN max_time - min_time <= 86400000000000 THEN 1 "
        "WHEN max_time - min_time <= 2073600000000000 THEN 2 WHEN max_time - min_time <= 49766400000000000 THEN 3 "
        "WHEN max_time - min_time <= 1194393600000000000 THEN 4 ELSE 5 END, "
        "max(max_time) OVER (ORDER BY seq), historical, payload FROM log_before"
    )
    op.drop_table("log_before")
    op.create_index("log_by_time", "log", ["customer", "kind", "device", "span_class", "min_time", "max_time", "seq"])


def _rebuild_store() -> None:
    op.rename_table("store", "store_before")
    op.create_table(
        "store",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
        sa.Column("page_token_key", sa.LargeBinary, nullable=False),
        sa.Column("cursor_key", sa.LargeBinary, nullable=False),
        sa.Column("tail", sa.BigInteger, nullable=False),
        sa.Column("take_time", sa.BigInteger, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.execute(
        "INSERT INTO store (id, create_time, page_token_key, cursor_key, tail, take_time, run) "
        "SELECT id, create_time, page_token_key, cursor_key, tail, coalesce((SELECT max(take_time) FROM log), 0), '' "
        "FROM store_before"
    )
    op.drop_table("store_before")
    # Entries of before have a run too, so that cursors into them go on.
    op.execute("INSERT INTO runs (first_seq, name) SELECT 1, id FROM store WHERE tail > 0")
