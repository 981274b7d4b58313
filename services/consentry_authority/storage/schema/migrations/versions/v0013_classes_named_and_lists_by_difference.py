"""Consents to all data classes name them one by one; the changes of a key's list are found by their numbers."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Apply."""
    # All that there were when these consents were given. Whatever class is added later, this stays as it is.
    op.execute("UPDATE consents SET data_classes = 'alarms,inventory,telemetry' WHERE data_classes = ''")
