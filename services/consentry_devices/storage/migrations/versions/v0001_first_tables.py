"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Apply."""
    _create_log()
    _create_inventory()
    _create_state()
    _create_numberings()


def _create_log() -> None:
    op.create_table(
        "store",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
        sa.Column("page_token_key", sa.LargeBinary, nullable=False),
        sa.Column("cursor_key", sa.LargeBinary, nullable=False),
        sa.Column("tail", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "log",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("data_class", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("device", sa.Text, nullable=True),
        sa.Column("min_time", sa.BigInteger, nullable=False),
        sa.Column("max_time", sa.BigInteger, nullable=False),
        sa.Column("historical", sa.Boolean, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("log_by_time", "log", ["customer", "kind", "device", "min_time", "max_time", "seq"])


def _create_inventory() -> None:
    op.create_table(
        "locations",
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("kind", sa.BigInteger, nullable=False),
        sa.Column("parent", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("customer", "id"),
    )
    op.create_table(
        "devices",
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("type", sa.BigInteger, nullable=False),
        sa.Column("model_name", sa.Text, nullable=False),
        sa.Column("serial_number", sa.Text, nullable=False),
        sa.Column("parent", sa.Text, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("customer", "id"),
    )
    op.create_table(
        "device_gateways",
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("gateway", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("customer", "device", "gateway"),
    )
    op.create_table(
        "sensors",
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("metric", sa.Text, nullable=False),
        sa.Column("unit", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("customer", "path"),
    )
    op.create_index("sensors_by_device", "sensors", ["customer", "device", "path"])


def _create_state() -> None:
    op.create_table(
        "alarms",
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("kind", sa.BigInteger, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("severity", sa.BigInteger, nullable=False),
        sa.Column("activate_time", sa.BigInteger, nullable=False),
        sa.Column("clear_time", sa.BigInteger, nullable=True),
        sa.Column("reactivation_count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("customer", "id"),
    )
    op.create_table(
        "alarm_events",
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("kind", sa.BigInteger, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("severity", sa.BigInteger, nullable=False),
        sa.Column("activate_time", sa.BigInteger, nullable=False),
        sa.Column("clear_time", sa.BigInteger, nullable=True),
        sa.Column("reactivation_count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("customer", "id", "number"),
    )
    op.create_table(
        "latest",
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("sensor", sa.Text, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Double, nullable=True),
        sa.Column("text", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("customer", "device", "sensor"),
        sqlite_with_rowid=False,
    )


def _create_numberings() -> None:
    op.create_table(
        "gateway_streams",
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("gateway", sa.Text, nullable=False),
        sa.Column("epoch", sa.Text, nullable=False),
        sa.Column("last_number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("customer", "gateway", "epoch"),
    )
    op.create_table(
        "gateway_frames",
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("gateway", sa.Text, nullable=False),
        sa.Column("epoch", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("customer", "gateway", "epoch", "number"),
        sqlite_with_rowid=False,
    )
