"""No answer of the authority, and no message of its streams, exceeds 1 MiB, whatever is stored."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import grpc
import sqlalchemy as sa

from consentry.authority.v1 import consent_pb2, keys_pb2
from consentry_authority.audit.chain import Entry, EntryKind
from consentry_authority.commands.keys.key_customers import MOST_TOLD
from consentry_authority.setup.audit_log import read_audit_keys
from consentry_authority.storage.logs import audit_log as audit
from consentry_authority.storage.schema import tables as t
from consentry_core.rpc.client.channels import bearer
from consentry_rule import Instant, KeyKind
from support.answer_sizes import LARGEST, methods_of, sizes_of
from support.authority import settings_of
from support.world import World

MANY = 1_000
LISTED = 25_000
KEYS, TOKENS = 990, 190  # and some more that are there: as many as an organisation may have
WIDE = "\N{MUSICAL SYMBOL G CLEF}"
NAME, PURPOSE = WIDE * 200, WIDE * 500
CLASSES = "alarms,inventory,telemetry"


def long_id(word: str, number: int) -> str:
    return f"{word}-{number:06d}-".ljust(40, "x")


async def test_nothing_that_the_authority_says_is_too_large_and_nothing_is_left_out(world: World) -> None:
    await fill(world)
    await a_list_that_is_left_out_is_told_in_pages(world)
    await pages_that_are_cut_leave_nothing_out(world)
    said = [row async for row in sizes_of(world, methods_of("consentry.authority.v1"))]
    assert [(path, code) for path, code, _ in said if code != grpc.StatusCode.OK] == []
    assert {path: size for path, _, size in said if size > LARGEST} == {}
    large = {path.rpartition("/")[2] for path, _, size in said if size > LARGEST * 3 // 4}
    assert large >= {
        "ListPartners", "ListCustomers", "ListTokens", "ListConsents", "ListConsentEvents", "ListKeys"
    }, "they are cut, and would be larger"  # fmt: skip


async def a_list_that_is_left_out_is_told_in_pages(world: World) -> None:
    calls, admin = world.pair.authority, bearer(world.secrets["admin of acme"])
    name = world.keys["spare key"].name
    whole: list[str] = []
    token = ""
    while not whole or token:
        request = keys_pb2.GetKeyRequest(name=name, customers_page_size=1_000_000, customers_page_token=token)
        answer = await calls.keys.GetKey(request, metadata=admin)
        assert (answer.key.customer_count, len(answer.key.customers)) == (LISTED, 0)
        assert len(answer.customers) <= MOST_TOLD
        whole += answer.customers
        token = answer.next_customers_page_token
    assert whole == sorted(set(whole))
    assert len(whole) == LISTED
    short = await calls.keys.GetKey(keys_pb2.GetKeyRequest(name=world.keys["specific key"].name), metadata=admin)
    assert (list(short.key.customers), short.key.customer_count, len(short.customers)) == (["customers/north"], 1, 0)


async def pages_that_are_cut_leave_nothing_out(world: World) -> None:
    calls, found, token = world.pair.authority, list[str](), ""
    while not found or token:
        request = consent_pb2.ListConsentsRequest(parent="customers/north", page_size=MANY, page_token=token)
        page = await calls.consents.ListConsents(request, metadata=bearer(world.secrets["admin of north"]))
        found += [consent.partner for consent in page.consents]
        token = page.next_page_token
    assert len(found) == len(set(found)) == MANY + 2
    keys, token = set[str](), ""
    while not keys or token:
        listing = keys_pb2.ListKeysRequest(parent="partners/acme", page_size=MANY, page_token=token)
        answer = await calls.keys.ListKeys(listing, metadata=bearer(world.secrets["admin of acme"]))
        keys.update(key.name for key in answer.keys)
        token = answer.next_page_token
    assert len(keys) == KEYS + 4


async def fill(world: World) -> None:
    """As many of everything as a page can hold, each as large as it can be."""
    authority, now = world.pair.authority, world.now
    partners = [long_id("p", number) for number in range(MANY)]
    key_id = world.keys["spare key"].name.rpartition("/")[2]
    labels = json.dumps({f"label-{number:02d}".ljust(63, "x"): WIDE * 63 for number in range(32)})
    networks = ",".join(f"2001:db8:{number:x}:1111:2222:3333:4444:5555/128" for number in range(100))
    tables: Mapping[str, Iterable[Mapping[str, Any]]] = {
        "partners": ({"id": each, "display_name": NAME, "create_time": now, "rehearsing": False} for each in partners),
        "customers": (
            {"id": long_id("c", number), "display_name": NAME, "create_time": now, "demo": False, "plan": "paid"}
            for number in range(10 * MANY)
        ),
        "listed": (
            {"id": long_id("l", number), "display_name": "", "create_time": now, "demo": False} for number in range(LISTED - 1)
        ),
        "connections": (
            {"partner": partner, "customer": customer, "connect_time": now, "opened_number": 1, "closed_number": 0,
             "class_numbers": ""}
            for partner, customer in pairs(partners)
        ),
        "consents": (
            {"partner": partner, "customer": customer, "grant_time": now, "data_start_time": now, "data_classes": CLASSES,
             "purpose": PURPOSE}
            for partner, customer in pairs(partners)
        ),
        "keys": (
            {"partner": "acme", "id": long_id("k", number), "display_name": NAME, "kind": KeyKind.ALL_CUSTOMERS.value,
             "create_time": now, "creator": "tokens/x", "disabled": False, "version": 1, "labels": labels, "networks": networks,
             "audiences": ",".join(long_id("a", each) for each in range(20))}
            for number in range(KEYS)
        ),
        "key_customers": (
            {"partner": "acme", "key": key_id, "customer": long_id("l", number)} for number in range(LISTED - 1)
        ),
        "tokens": (
            {"id": long_id("t", number), "role": "partner_admin", "organization": "partners/acme", "display_name": NAME,
             "create_time": now, "creator": "tokens/x", "partners": ",".join(f"partners/{each}" for each in partners[:100])}
            for number in range(TOKENS)
        ),
        "accesses": (
            {"customer": "north", "hour": now, "key": f"partners/acme/keys/{long_id('k', number)}", "data_class": "telemetry",
             "incarnation": "i", "messages": 1, "readings": 1, "bytes": 1, "devices": 1, "refusals": 1}
            for number in range(MANY)
        ),
        "access_gaps": (
            {"incarnation": f"i{number}", "start_time": now, "end_time": now + 1, "service": WIDE * 100}
            for number in range(MANY)
        ),
    }  # fmt: skip
    keys = read_audit_keys(settings_of(authority.folder))
    described = {"connect_time": now, "disconnect_time": None, "consent": {
        "grant_time": now, "expire_time": None, "data_start_time": now, "data_classes": CLASSES, "purpose": PURPOSE,
        "revoke_time": None,
    }}  # fmt: skip
    document = json.dumps({"customers/north/consents/acme": {"before": described | {"consent": None}, "after": described}})
    entry = Entry(time=Instant(now), kind=EntryKind.CHANGE, document=document)

    def write(connection: sa.Connection) -> None:
        for table, rows in tables.items():
            connection.execute(sa.insert(t.metadata.tables["customers" if table == "listed" else table]), list(rows))
        audit.append(connection, keys, [entry] * MANY)

    await authority.store.write_aside(write)


def pairs(partners: Sequence[str]) -> Iterable[tuple[str, str]]:
    yield from ((partner, "north") for partner in partners)
    yield from (("acme", long_id("c", number)) for number in range(10 * MANY))
