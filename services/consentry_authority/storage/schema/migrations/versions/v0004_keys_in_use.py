"""Requests that had an id; when secrets were last used; keys' labels, networks and quotas."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "requests",
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("resource", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("caller", "id", name="pk_requests"),
    )
    op.create_index("ix_requests_create_time", "requests", ["create_time"])
    for name, kind in (
        ("labels", sa.Text),
        ("networks", sa.Text),
        ("calls_per_minute", sa.BigInteger),
        ("open_streams", sa.BigInteger),
    ):
        op.add_column("keys", sa.Column(name, kind))
    op.create_table(
        "checksum_keys",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("mark", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_checksum_keys"),
    )
    op.add_column("secrets", sa.Column("checksum_key", sa.Text))
    op.add_column("secrets", sa.Column("last_use_time", sa.BigInteger))
