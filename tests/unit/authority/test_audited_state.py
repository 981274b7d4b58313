"""What somebody changes past the authority, by writing to its database: found, because the log tells what it was like."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from consentry_authority.commands.consents.grant_consent import Grant, grant_consent
from consentry_authority.commands.consents.list_consent_events import list_consent_events
from consentry_authority.commands.consents.revoke_consent import revoke_consent
from consentry_authority.commands.directory.disconnect_customer import disconnect_customer
from consentry_authority.commands.keys.rotate_key import rotate_key
from consentry_authority.commands.keys.set_rehearsal import set_rehearsal
from consentry_authority.commands.ports import ListChange, Transaction
from consentry_authority.commands.records import WHEN_NONE_WAS_NAMED, ConsentRecord, SecretRecord, TokenRecord
from consentry_authority.settings import AuthoritySettings
from consentry_authority.setup.audit_log import problems
from consentry_core.values.clock import SECOND
from consentry_core.values.encoding import base64url
from consentry_rule import KeyId, KeyKind, TokenRole
from support.stores import ACME, EAST, NORTH, OTHER, SOUTH, StoreUnderTest, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreUnderTest]:
    """An authority that has seen a bit of everything."""
    (tmp_path / "audit.key").write_text(base64url(bytes(32)))
    with open_store(tmp_path) as opened:
        for partner in (ACME, OTHER):
            opened.partner(partner)
        for customer in (NORTH, SOUTH, EAST):
            opened.valid_customer(customer, ACME)
        opened.do(lambda tx: revoke_consent(tx, NORTH, ACME))
        opened.do(lambda tx: grant_consent(tx, SOUTH, ACME, Grant(purpose="ck_all_0123456789abcdef_looksLikeASecret")))
        opened.do(lambda tx: disconnect_customer(tx, ACME, EAST))
        key = opened.key(ACME, "listed", KeyKind.SPECIFIC_CUSTOMERS, frozenset({NORTH, SOUTH}))
        opened.do(lambda tx: tx.keys.change(key, customers=ListChange(removed=frozenset({NORTH}))))
        opened.key(ACME, "demo", KeyKind.DEMO)
        opened.do(lambda tx: set_rehearsal(tx, ACME, rehearsing=True))
        new = SecretRecord("acme-new", "hash", "hint")
        opened.do(lambda tx: rotate_key(tx, ACME, KeyId("listed"), new, 60 * SECOND))
        for token in ("admin", "gone"):
            record = TokenRecord(token, TokenRole.PARTNER_ADMIN, "partners/acme", "", opened.clock.now(), "", "hint")
            secret = SecretRecord(f"secret-{token}", "hash", "hint")
            opened.do(partial(_add, record, secret))
        opened.do(lambda tx: tx.tokens.delete(record))
        yield opened


def _add(token: TokenRecord, secret: SecretRecord, transaction: Transaction) -> None:
    transaction.tokens.add(token, secret)


def change(store: StoreUnderTest, *statements: str) -> None:
    """As somebody would who can write to the database file."""

    def work(connection: sa.Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)

    store.store._database.write_now(work)


def findings(tmp_path: Path) -> list[str]:
    return problems(AuthoritySettings(data_dir=tmp_path), ())[1]


def test_what_the_authority_itself_did_is_in_order(store: StoreUnderTest, tmp_path: Path) -> None:
    store.clock.advance(3600)  # ends come by themselves, and change nothing
    assert findings(tmp_path) == []


@pytest.mark.parametrize(
    ("statement", "subject"),
    [
        ("UPDATE consents SET revoke_time = NULL WHERE customer = 'north'", "customers/north/consents/acme"),
        ("UPDATE consents SET data_start_time = 0 WHERE customer = 'south'", "customers/south/consents/acme"),
        ("UPDATE connections SET disconnect_time = NULL WHERE customer = 'east'", "customers/east/consents/acme"),
        ("UPDATE customers SET subscription_expire_time = 1 WHERE id = 'south'", "customers/south"),
        ("INSERT INTO key_customers VALUES ('acme', 'listed', 'north')", "partners/acme/keys/listed"),
        ("UPDATE keys SET kind = 'all_customers' WHERE id = 'demo'", "partners/acme/keys/demo"),
        ("UPDATE partners SET rehearsing = 0 WHERE id = 'acme'", "partners/acme"),
        ("UPDATE secrets SET expire_time = NULL WHERE id = 'acme-listed'", "partners/acme/keys/listed"),
        ("UPDATE secrets SET credential = 'tokens/admin' WHERE id = 'acme-demo'", "tokens/admin"),
        ("UPDATE tokens SET role = 'operator', organization = '' WHERE id = 'admin'", "tokens/admin"),
        ("UPDATE tokens SET delete_time = NULL WHERE id = 'gone'", "tokens/gone"),
        ("DELETE FROM tokens WHERE id = 'gone'", "tokens/gone"),
        ("INSERT INTO tokens SELECT 'own', 'operator', '', '', 1, '', NULL, NULL, '', '' FROM revision", "tokens/own"),
        ("INSERT INTO connections SELECT 'other', 'north', 1, NULL, 0, 0, '' FROM revision", "customers/north/consents/other"),
    ],
    ids=lambda value: value[:60],
)
def test_what_was_changed_past_it_is_found(store: StoreUnderTest, tmp_path: Path, statement: str, subject: str) -> None:
    change(store, statement)
    assert any(finding.startswith(f"{subject} is ") for finding in findings(tmp_path)), findings(tmp_path)


def test_consents_that_named_no_class_and_were_written_out_since_are_in_order(store: StoreUnderTest, tmp_path: Path) -> None:
    """The entries stay as they were, and the customer is told what they meant then."""
    store.do(lambda tx: tx.consents.save(ConsentRecord(SOUTH, ACME, tx.now, tx.now, frozenset())))
    change(store, "UPDATE consents SET data_classes = 'alarms,inventory,telemetry' WHERE data_classes = ''")
    assert findings(tmp_path) == []
    newest = store.ask(lambda tx: list_consent_events(tx, SOUTH, ACME, after="", limit=1)).items[0]
    assert newest.data_classes == WHEN_NONE_WAS_NAMED
    change(store, "UPDATE consents SET data_classes = 'alarms,inventory' WHERE customer = 'south'")
    assert findings(tmp_path) != []


def test_a_log_that_was_begun_later_tells_of_what_it_has_seen_only(store: StoreUnderTest, tmp_path: Path) -> None:
    """Such as that of a folder that is older than audit logs are."""
    change(
        store,
        "DROP TRIGGER audit_no_delete",
        "DELETE FROM audit_customers",
        "DELETE FROM audit",
        "UPDATE audit_head SET number = 0, digest = ''",
        "DELETE FROM changes",
    )
    store.do(lambda tx: revoke_consent(tx, SOUTH, ACME))
    assert findings(tmp_path) == []
    change(store, "UPDATE consents SET revoke_time = NULL")
    assert [finding.split(" ")[0] for finding in findings(tmp_path)] == ["customers/south/consents/acme"]
