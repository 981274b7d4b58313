"""Consents to all data classes name them one by one; the changes of a key's list are found by their numbers."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Apply."""
    # All that there were when these consents were given. Whatever class is added later, this stays as it is.
    op.execute("UPDATE consents SET data_classes = 'alarms,inventory,telemetry' WHERE data_classes = ''")
    for name in ("customer_count", "list_number"):
        op.add_column("keys", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    op.execute(
        "UPDATE keys SET customer_count = (SELECT COUNT(*) FROM key_customers AS listed "
        "WHERE listed.partner = keys.partner AND listed.key = keys.id)"
    )
    last = "MAX(CASE WHEN unlisted_number > listed_number THEN unlisted_number ELSE listed_number END)"
    op.execute(
        f"UPDATE keys SET list_number = COALESCE((SELECT {last} FROM key_listings AS listing "  # noqa: S608 - no text from outside
        "WHERE listing.partner = keys.partner AND listing.key = keys.id), 0)"
    )
    for number in ("listed_number", "unlisted_number"):
        op.create_index(f"ix_key_listings_partner_key_{number}", "key_listings", ["partner", "key", number])
