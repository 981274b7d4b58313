"""A checksum in each row of the log and of current state.

What is in the log already has none, and stays so: it may be very much. Of current state all rows get one.
"""

import sqlalchemy as sa
from alembic import op

from consentry_devices.storage.checksums import of_row

revision = "0003"
down_revision = "0002"

_KEYS = {
    "locations": ("customer", "id"),
    "devices": ("customer", "id"),
    "sensors": ("customer", "path"),
    "alarms": ("customer", "id"),
    "alarm_events": ("customer", "id", "number"),
    "latest": ("customer", "device", "sensor"),
}
_AT_ONCE = 5_000


def upgrade() -> None:
    """Apply."""
    op.add_column("store", sa.Column("checked_from", sa.BigInteger, nullable=True))
    op.execute("UPDATE store SET checked_from = tail + 1")
    op.add_column("log", sa.Column("checksum", sa.BigInteger, nullable=True))
    connection = op.get_bind()
    for table, keys in _KEYS.items():
        rows = connection.exec_driver_sql(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - names of this module
        op.add_column(table, sa.Column("checksum", sa.BigInteger, nullable=True))
        where = " AND ".join(f"{key} = :{key}" for key in keys)
        update = sa.text(f"UPDATE {table} SET checksum = :sum WHERE {where}")  # noqa: S608 - likewise
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            connection.execute(update, [{"sum": of_row(row), **{key: getattr(row, key) for key in keys}} for row in some])
