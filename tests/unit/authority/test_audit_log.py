# ruff: noqa: S608 - what is put into the statements is made here
"""The audit log: what is in it, that nothing changes without it, and that whatever is done to it shows."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from consentry_authority.audit.chain import AuditKeys, Entry, EntryKind, Head, Sealed, verify
from consentry_authority.audit.sampling import Sampler
from consentry_authority.commands.consents.grant_consent import Grant, grant_consent
from consentry_authority.commands.directory.disconnect_customer import disconnect_customer
from consentry_authority.commands.ports import ListChange, Origin
from consentry_authority.storage.logs import audit_log as rows
from consentry_core.pacing.bucket import Rate
from consentry_core.values.clock import SECOND, BootTime
from consentry_core.values.errors import FailedPrecondition
from consentry_rule import KeyKind
from support.stores import ACME, AUDIT_KEYS, EAST, NORTH, SOUTH, StoreUnderTest, open_store

ORIGIN = Origin("tokens/admin", "/consentry.authority.v1.X/Do", "customers/north", "ipv4:192.0.2.1:5000", "request-7")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreUnderTest]:
    with open_store(tmp_path) as opened:
        opened.partner(ACME)
        for customer in (NORTH, SOUTH):
            opened.valid_customer(customer, ACME)
        yield opened


def aside(store: StoreUnderTest, work: Callable[[sa.Connection], Any]) -> Any:
    return store.store._database.write_now(work)


def log(store: StoreUnderTest) -> list[Sealed]:
    found: list[Sealed] = aside(store, lambda connection: list(rows.entries(connection)))
    return found


def findings(store: StoreUnderTest, *heads: Head, keys: AuditKeys = AUDIT_KEYS) -> list[str]:
    return list(verify(keys, log(store), heads))


def tamper(store: StoreUnderTest, *statements: str) -> None:
    """As somebody would who can write to the database file."""

    def work(connection: sa.Connection) -> None:
        for statement in ("DROP TRIGGER IF EXISTS audit_no_update", "DROP TRIGGER IF EXISTS audit_no_delete", *statements):
            connection.exec_driver_sql(statement)

    aside(store, work)


def test_an_entry_says_who_did_what_from_where_under_which_request_id(store: StoreUnderTest) -> None:
    grant = Grant(purpose="cooling", expire_time=store.later(60))
    done = store.store.write_now(lambda tx: grant_consent(tx, NORTH, ACME, grant), origin=ORIGIN)
    entry = log(store)[-1].entry
    assert (entry.kind, entry.outcome, entry.revision) == (EntryKind.CHANGE, "OK", done.revision.number)
    assert entry.time == done.commit_time
    assert (entry.actor, entry.method, entry.organization) == (ORIGIN.actor, ORIGIN.method, ORIGIN.organization)
    assert (entry.peer, entry.request_id) == (ORIGIN.peer, ORIGIN.request_id)
    sides = json.loads(entry.document)["customers/north/consents/acme"]
    assert sides["before"]["consent"]["purpose"] == ""
    assert sides["after"]["consent"]["purpose"] == "cooling"
    assert sides["after"]["consent"]["expire_time"] == grant.expire_time


def test_what_changes_nothing_and_what_fails_leaves_no_entry(store: StoreUnderTest) -> None:
    before = len(log(store))
    store.do(lambda tx: grant_consent(tx, NORTH, ACME, Grant()))
    with pytest.raises(FailedPrecondition):
        store.do(lambda tx: grant_consent(tx, EAST, ACME, Grant()))
    assert len(log(store)) == before


def test_a_key_is_told_with_its_list_and_the_public_side_of_its_secrets(store: StoreUnderTest) -> None:
    key = store.key(ACME, "k1", KeyKind.SPECIFIC_CUSTOMERS, frozenset({NORTH, SOUTH}))
    store.do(lambda tx: tx.keys.change(key, customers=ListChange(removed=frozenset({SOUTH}))))
    made, changed = (json.loads(sealed.entry.document)["partners/acme/keys/k1"] for sealed in log(store)[-2:])
    assert made["added"] == ["north", "south"]
    assert made["before"] is None
    assert made["after"]["secrets"] == [{"id": "acme-k1", "expire_time": None, "live": True}]
    assert changed["removed"] == ["south"]
    assert "hash" not in " ".join(sealed.entry.document for sealed in log(store))


def test_what_had_ended_by_itself_is_told_before_what_follows_it(store: StoreUnderTest) -> None:
    end = store.later(60)
    store.do(lambda tx: grant_consent(tx, NORTH, ACME, Grant(expire_time=end)))
    store.clock.advance(100)
    store.do(lambda tx: grant_consent(tx, NORTH, ACME, Grant()))
    ended, granted = (sealed.entry for sealed in log(store)[-2:])
    assert (ended.kind, ended.time, ended.actor) == (EntryKind.END, end, "")
    assert (granted.kind, granted.time) == (EntryKind.CHANGE, store.clock.now())
    store.do(lambda tx: disconnect_customer(tx, ACME, NORTH))
    assert log(store)[-2].entry == granted, "an end is told once"


def test_a_change_whose_entry_cannot_be_written_does_not_happen(store: StoreUnderTest) -> None:
    before = store.ask(lambda tx: (tx.consents.get(NORTH, ACME), tx.facts.head(), list(tx.customers.page(after="", limit=9))))
    refuse = "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no room'); END"
    aside(store, lambda connection: connection.exec_driver_sql(refuse))
    with pytest.raises(sa.exc.IntegrityError):
        store.do(lambda tx: disconnect_customer(tx, ACME, NORTH))
    with pytest.raises(sa.exc.IntegrityError):
        store.customer(EAST)
    aside(store, lambda connection: connection.exec_driver_sql("DROP TRIGGER full"))
    after = store.ask(lambda tx: (tx.consents.get(NORTH, ACME), tx.facts.head(), list(tx.customers.page(after="", limit=9))))
    assert after == before


def test_the_database_itself_refuses_to_change_the_log(store: StoreUnderTest) -> None:
    for statement in ("UPDATE audit SET actor = 'tokens/other'", "DELETE FROM audit WHERE number = 3"):
        with pytest.raises(sa.exc.IntegrityError, match="only appended"), store.store._database.engine.begin() as connection:
            connection.exec_driver_sql(statement)


def test_a_whole_log_verifies_also_after_its_key_was_replaced(store: StoreUnderTest) -> None:
    head = aside(store, rows.head)
    assert findings(store, head) == []
    newer = AuditKeys([b"n" * 32, bytes(32)])
    store.store._audit_keys = newer
    store.customer(EAST)
    assert findings(store, head, keys=newer) == []
    assert "not in the key file" in findings(store)[0]


COLUMNS = ("time", "kind", "actor", "organization", "method", "peer", "request_id", "outcome", "revision", "document", "key_id")


@pytest.mark.parametrize("column", [*COLUMNS, "digest"])
def test_a_changed_entry_is_found(store: StoreUnderTest, column: str) -> None:
    value = "1" if column in {"time", "revision"} else "'forged'"
    tamper(store, f"UPDATE audit SET {column} = {value} WHERE number = 4")
    found = findings(store)
    assert found
    assert "entry 4 " in found[0]


def test_a_missing_entry_is_found(store: StoreUnderTest) -> None:
    tamper(store, "DELETE FROM audit_customers", "DELETE FROM audit WHERE number IN (3, 4)")
    assert findings(store) == ["entries 3 to 4 are missing"]


def test_a_missing_entry_is_found_when_the_rest_is_numbered_anew(store: StoreUnderTest) -> None:
    tamper(store, "DELETE FROM audit_customers", "DELETE FROM audit WHERE number = 3")
    tamper(store, "UPDATE audit SET number = number - 1 WHERE number > 3")
    found = findings(store)
    assert "entry 3 does not fit" in found[0]


def test_reordered_entries_are_found(store: StoreUnderTest) -> None:
    tamper(store, "DELETE FROM audit_customers", *(f"UPDATE audit SET number = {b} WHERE number = {a}" for a, b in _SWAP))
    found = findings(store)
    assert [text.split()[1] for text in found] == ["3", "4", "5"], "and the one after them, whose predecessor is another"


_SWAP = ((3, 99), (4, 3), (99, 4))


def test_a_cut_off_end_is_found_by_an_exported_head_and_only_by_it(store: StoreUnderTest) -> None:
    head: Head = aside(store, rows.head)
    cut = head.number - 2
    tamper(store, f"DELETE FROM audit_customers WHERE number > {cut}", f"DELETE FROM audit WHERE number > {cut}")
    assert findings(store) == []
    assert findings(store, head) == [
        f"the log ends with entry {cut}, and the exported head names entry {head.number}: its end was cut off"
    ]


def test_a_log_written_anew_with_the_key_itself_is_found_by_an_exported_head(store: StoreUnderTest) -> None:
    head: Head = aside(store, rows.head)
    tamper(store, "DELETE FROM audit_customers", "DELETE FROM audit", "UPDATE audit_head SET number = 0, digest = ''")
    notes = [Entry(time=store.clock.now(), kind=EntryKind.CHANGE, actor="tokens/innocent")] * head.number
    aside(store, lambda connection: rows.append(connection, AUDIT_KEYS, notes))
    assert findings(store) == []
    assert "written anew" in findings(store, head)[0]


def test_every_head_counts_also_one_of_the_same_number_and_one_of_an_empty_log(store: StoreUnderTest) -> None:
    head = aside(store, rows.head)
    for heads in ((Head(head.number, "another"), head), (head, Head(head.number, "another"))):
        assert "is not the one that the exported head names" in findings(store, *heads)[0]
    assert findings(store, Head(0, ""), head) == []


def test_a_change_of_the_history_without_its_entry_is_found(store: StoreUnderTest) -> None:
    assert not aside(store, rows.unwritten_changes)
    last = log(store)[-1].entry
    tamper(
        store, f"DELETE FROM audit_customers WHERE number = {last.number}", f"DELETE FROM audit WHERE number = {last.number}"
    )
    assert aside(store, rows.unwritten_changes) == [last.revision]


def test_an_entry_that_is_hidden_from_its_customer_is_found(store: StoreUnderTest) -> None:
    assert aside(store, rows.misfiled) == []
    number = log(store)[-1].entry.number
    tamper(store, f"UPDATE audit_customers SET customer = 'somebody' WHERE number = {number}")
    assert aside(store, rows.misfiled) == [number]


def test_a_flood_from_one_source_leaves_room_for_others_and_is_counted() -> None:
    sampler = Sampler(per_kind=Rate(50, 1.0), per_source=Rate(5, 0.1))
    now = BootTime(0)
    taken = sum(sampler.takes(EntryKind.FAILURE, "ipv4:192.0.2.1", "CREDENTIAL_INVALID", now) for _ in range(10_000))
    assert taken == 5
    assert sampler.takes(EntryKind.FAILURE, "ipv4:192.0.2.2", "CREDENTIAL_INVALID", now)
    assert sampler.takes(EntryKind.REFUSAL, "tokens/x", "NOT_YOUR_ORGANIZATION", now)
    assert sampler.left_out() == {"failure: CREDENTIAL_INVALID": 9_995}
    assert sampler.left_out() == {}
    assert sampler.takes(EntryKind.FAILURE, "ipv4:192.0.2.1", "CREDENTIAL_INVALID", BootTime(10 * SECOND))


def test_a_flood_from_everywhere_is_bounded_and_does_not_hide_refusals() -> None:
    sampler = Sampler(per_kind=Rate(50, 1.0), per_source=Rate(5, 0.1))
    taken = sum(sampler.takes(EntryKind.FAILURE, f"source {n}", "CREDENTIAL_INVALID", BootTime(0)) for n in range(20_000))
    assert taken == 50
    assert sampler.takes(EntryKind.REFUSAL, "tokens/x", "NOT_YOUR_ORGANIZATION", BootTime(0))
