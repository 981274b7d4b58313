"""Which service's token speaks for an enforcement point."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Apply. Whose the points are that are there already, nobody has written down: theirs whose token speaks for them next."""
    op.add_column("access_points", sa.Column("token", sa.Text))
