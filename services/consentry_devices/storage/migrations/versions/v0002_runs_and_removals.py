"""Runs, what retention has removed, and when each entry was taken in."""

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
        sa.Column("take_time", sa.BigInteger, nullable=False),
        sa.Column("historical", sa.Boolean, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    # When the old entries were taken in was not kept. It was not before their data was measured, as far as clocks go.
    op.execute(
        "INSERT INTO log (seq, customer, data_class, kind, device, min_time, max_time, take_time, historical, payload) "
        "SELECT seq, customer, data_class, kind, device, min_time, max_time, max(max_time) OVER (ORDER BY seq), historical, "
        "payload FROM log_before"
    )
    op.drop_table("log_before")
    op.create_index("log_by_time", "log", ["customer", "kind", "device", "min_time", "max_time", "seq"])


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
