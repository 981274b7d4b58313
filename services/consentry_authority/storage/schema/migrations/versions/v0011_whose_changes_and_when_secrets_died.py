"""For whose organisation each change was made, and when secrets died."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Apply. Whose the changes were that are there already, the audit log says; when a secret died, nobody has written down."""
    op.add_column("changes", sa.Column("organization", sa.Text))
    op.add_column("secrets", sa.Column("kill_time", sa.BigInteger))
    op.execute(
        "UPDATE changes SET organization = (SELECT MAX(audit.organization) FROM audit WHERE audit.revision = changes.number)"
    )
