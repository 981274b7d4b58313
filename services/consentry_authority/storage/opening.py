"""A database's first start: its epoch, its own random keys, and the demo customer."""

from typing import Final

import sqlalchemy as sa

from consentry_authority.storage import tables as t
from consentry_core import names
from consentry_core.encoding import RandomBytes, base64url, from_base64url, new_public_id
from consentry_rule import Instant

_PAGE_TOKEN_KEY: Final = "page_token_key"  # noqa: S105 - the name of a setting


def open_history(connection: sa.Connection, random: RandomBytes, now: Instant) -> None:
    """Give a migrated database what every one of them has. What is there already stays as it is."""
    if connection.scalar(sa.select(t.revision.c.number)) is None:
        connection.execute(sa.insert(t.revision).values(id=1, epoch=new_public_id(random), number=0))
    if connection.scalar(sa.select(t.settings.c.value).where(t.settings.c.name == _PAGE_TOKEN_KEY)) is None:
        connection.execute(sa.insert(t.settings).values(name=_PAGE_TOKEN_KEY, value=base64url(random(32))))
    if connection.scalar(sa.select(t.customers.c.id).where(t.customers.c.id == names.DEMO_CUSTOMER)) is None:
        connection.execute(
            sa.insert(t.customers).values(id=names.DEMO_CUSTOMER, display_name="Demo customer", create_time=now, demo=True)
        )


def is_open(connection: sa.Connection) -> bool:
    """Whether `open_history` has run."""
    return connection.scalar(sa.select(t.revision.c.number)) is not None


def page_token_key(connection: sa.Connection) -> bytes:
    """The key that all replicas on this database make page tokens with."""
    text = connection.execute(sa.select(t.settings.c.value).where(t.settings.c.name == _PAGE_TOKEN_KEY)).scalar_one()
    key = from_base64url(text)
    if key is None:
        raise ValueError(f"the setting {_PAGE_TOKEN_KEY} is damaged")
    return key
