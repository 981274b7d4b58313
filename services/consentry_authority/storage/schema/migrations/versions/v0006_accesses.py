"""The customers' access log."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "accesses",
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("hour", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("data_class", sa.Text, nullable=False),
        sa.Column("incarnation", sa.Text, nullable=False),
        sa.Column("messages", sa.BigInteger, nullable=False),
        sa.Column("readings", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("devices", sa.BigInteger, nullable=False),
        sa.Column("refusals", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("customer", "hour", "key", "data_class", "incarnation", name="pk_accesses"),
    )
    op.create_index("ix_accesses_hour", "accesses", ["hour"])
    op.create_table(
        "access_points",
        sa.Column("incarnation", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("reported_until", sa.BigInteger, nullable=False),
        sa.Column("last_number", sa.BigInteger, nullable=False),
        sa.Column("done", sa.Boolean, nullable=False),
        sa.Column("served_until", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("incarnation", name="pk_access_points"),
    )
    op.create_table(
        "access_gaps",
        sa.Column("incarnation", sa.Text, nullable=False),
        sa.Column("start_time", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("end_time", sa.BigInteger, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("incarnation", "start_time", name="pk_access_gaps"),
    )
