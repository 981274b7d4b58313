"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "partners",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
        sa.Column("rehearsing", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_partners"),
    )
    op.create_table(
        "customers",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
        sa.Column("demo", sa.Boolean, nullable=False),
        sa.Column("plan", sa.Text),
        sa.Column("subscription_expire_time", sa.BigInteger),
        sa.Column("subscription_cancel_time", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_customers"),
    )
    _create_connections_and_consents()
    _create_credentials()
    _create_history()


def _create_connections_and_consents() -> None:
    op.create_table(
        "connections",
        sa.Column("partner", sa.Text, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("connect_time", sa.BigInteger, nullable=False),
        sa.Column("disconnect_time", sa.BigInteger),
        sa.Column("opened_number", sa.BigInteger, nullable=False),
        sa.Column("closed_number", sa.BigInteger, nullable=False),
        sa.Column("class_numbers", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("partner", "customer", name="pk_connections"),
        sa.ForeignKeyConstraint(["partner"], ["partners.id"], name="fk_connections_partner"),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name="fk_connections_customer"),
    )
    op.create_index("ix_connections_customer_partner", "connections", ["customer", "partner"])
    op.create_table(
        "consents",
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("partner", sa.Text, nullable=False),
        sa.Column("grant_time", sa.BigInteger, nullable=False),
        sa.Column("expire_time", sa.BigInteger),
        sa.Column("data_start_time", sa.BigInteger, nullable=False),
        sa.Column("data_classes", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("revoke_time", sa.BigInteger),
        sa.PrimaryKeyConstraint("customer", "partner", name="pk_consents"),
        sa.ForeignKeyConstraint(
            ["partner", "customer"], ["connections.partner", "connections.customer"], name="fk_consents_partner_customer"
        ),
    )


def _create_credentials() -> None:
    op.create_table(
        "keys",
        sa.Column("partner", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
        sa.Column("creator", sa.Text, nullable=False),
        sa.Column("expire_time", sa.BigInteger),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("delete_time", sa.BigInteger),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("partner", "id", name="pk_keys"),
        sa.ForeignKeyConstraint(["partner"], ["partners.id"], name="fk_keys_partner"),
    )
    op.create_table(
        "key_customers",
        sa.Column("partner", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("partner", "key", "customer", name="pk_key_customers"),
        sa.ForeignKeyConstraint(["partner", "key"], ["keys.partner", "keys.id"], name="fk_key_customers_partner_key"),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name="fk_key_customers_customer"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("organization", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
        sa.Column("creator", sa.Text, nullable=False),
        sa.Column("expire_time", sa.BigInteger),
        sa.Column("delete_time", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
    )
    op.create_index("ix_tokens_organization_id", "tokens", ["organization", "id"])
    op.create_table(
        "secrets",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("credential", sa.Text, nullable=False),
        sa.Column("argon2_hash", sa.Text),
        sa.Column("hint", sa.Text, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
        sa.Column("expire_time", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_secrets"),
    )
    op.create_index("ix_secrets_credential", "secrets", ["credential"])


def _create_history() -> None:
    op.create_table(
        "revision",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_revision"),
        sa.CheckConstraint("id = 1", name="one_row"),
    )
    op.create_table(
        "changes",
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("commit_time", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", "subject", name="pk_changes"),
    )
    op.create_table(
        "settings",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_settings"),
    )
