"""What bounds each service's token: whose members and unreported times are, and receipts that are counted."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Apply. A member's token is written down when it is next granted a lease."""
    op.add_column("members", sa.Column("token", sa.Text))
    op.add_column("receipts", sa.Column("point_count", sa.BigInteger))
    op.add_column("receipts", sa.Column("acknowledged_count", sa.BigInteger))
    op.add_column("access_gaps", sa.Column("token", sa.Text))
    op.execute(
        "UPDATE access_gaps SET token = "
        "(SELECT token FROM access_points WHERE access_points.incarnation = access_gaps.incarnation)"
    )
