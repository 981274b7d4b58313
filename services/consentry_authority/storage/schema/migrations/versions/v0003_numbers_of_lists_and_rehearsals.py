"""Since when a customer is on a key's list, and when a partner rehearsed a withdrawal.

Who is on a list now is taken to have been on it since the key was created.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Apply."""
    op.add_column("partners", sa.Column("demo_opened_number", sa.BigInteger, nullable=False, server_default="1"))
    op.add_column("partners", sa.Column("demo_closed_number", sa.BigInteger, nullable=False, server_default="0"))
    op.create_table(
        "key_listings",
        sa.Column("partner", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("first_number", sa.BigInteger, nullable=False),
        sa.Column("listed_number", sa.BigInteger, nullable=False),
        sa.Column("unlisted_number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("partner", "key", "customer", name="pk_key_listings"),
        sa.ForeignKeyConstraint(["partner", "key"], ["keys.partner", "keys.id"], name="fk_key_listings_partner_key"),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name="fk_key_listings_customer"),
    )
    op.execute(
        """
        INSERT INTO key_listings (partner, key, customer, first_number, listed_number, unlisted_number)
        SELECT listed.partner, listed.key, listed.customer, COALESCE(created.number, 0), COALESCE(created.number, 0), 0
        FROM key_customers AS listed
        LEFT JOIN (SELECT subject, MIN(number) AS number FROM changes GROUP BY subject) AS created
        ON created.subject = 'partners/' || listed.partner || '/keys/' || listed.key
        """
    )
