"""Where the audit log begins, once its beginning was exported and removed."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "audit_base",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_base"),
        sa.CheckConstraint("id = 1", name="one_base"),
    )
    op.execute("INSERT INTO audit_base (id, number, digest) VALUES (1, 0, '')")
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_no_delete")
        op.execute(
            "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit WHEN OLD.number > (SELECT number FROM audit_base) "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is only appended to, and removed when it was exported'); END"
        )
