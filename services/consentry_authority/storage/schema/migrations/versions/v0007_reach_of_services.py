"""What services' tokens name and are limited to, and the audiences of keys."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Apply."""
    op.add_column("keys", sa.Column("audiences", sa.Text))
    op.add_column("tokens", sa.Column("audience", sa.Text))
    op.add_column("tokens", sa.Column("partners", sa.Text))
    # The one that `consentry init` made is the device-data service's; what others are for, nobody has said.
    op.execute("UPDATE tokens SET audience = 'devices' WHERE role = 'service' AND creator = ''")
