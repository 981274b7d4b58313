"""Members, and receipts of what was enforced."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "members",
        sa.Column("incarnation", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("join_time", sa.BigInteger, nullable=False),
        sa.Column("leases", sa.BigInteger, nullable=False),
        sa.Column("applied_epoch", sa.Text),
        sa.Column("applied_number", sa.BigInteger),
        sa.PrimaryKeyConstraint("incarnation", name="pk_members"),
    )
    op.create_table(
        "receipts",
        sa.Column("number", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("commit_time", sa.BigInteger, nullable=False),
        sa.Column("organization", sa.Text, nullable=False),
        sa.Column("enforce_time", sa.BigInteger),
        sa.PrimaryKeyConstraint("number", name="pk_receipts"),
    )
    op.create_table(
        "receipt_subjects",
        sa.Column("number", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", "subject", name="pk_receipt_subjects"),
        sa.ForeignKeyConstraint(["number"], ["receipts.number"], name="fk_receipt_subjects_number"),
    )
    op.create_index("ix_receipt_subjects_subject_number", "receipt_subjects", ["subject", "number"])
    op.create_table(
        "receipt_points",
        sa.Column("number", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("incarnation", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("acknowledge_time", sa.BigInteger),
        sa.PrimaryKeyConstraint("number", "incarnation", name="pk_receipt_points"),
        sa.ForeignKeyConstraint(["number"], ["receipts.number"], name="fk_receipt_points_number"),
    )
