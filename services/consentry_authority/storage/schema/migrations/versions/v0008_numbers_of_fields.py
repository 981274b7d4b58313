"""By which change each field of a resource came to be what it is."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "field_numbers",
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("field", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("resource", "field", name="pk_field_numbers"),
    )
    # Where the marks begin: all that is so by now was so by the last change.
    op.execute("INSERT INTO field_numbers SELECT '', '', COALESCE(MAX(number), 0) FROM revision")
