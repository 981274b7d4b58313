"""The whole administration through `consentry`, against a real pair."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.cli import Shell
from support.pair import Pair, alarm, running_pair

UPS = "customers/north/devices/ups"


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with running_pair(tmp_path) as pair:
        yield pair


async def test_a_partner_is_let_in_and_out(pair: Pair) -> None:
    shell, operator = Shell(pair), pair.authority.operator
    out = await shell.output(operator, "partners", "create", "acme", "--display-name", "Acme Monitoring")
    assert re.search(r"^name +partners/acme$", out, re.MULTILINE)
    await shell.output(operator, "customers", "create", "north", "--plan", "paid")
    await shell.output(operator, "customers", "create", "south", "--plan", "trial", "--expire-time", "+30d")
    for customer in ("north", "south"):
        await shell.output(operator, "connections", "connect", "acme", customer)

    admin = await shell.secret(operator, "tokens", "create", "--role", "partner-admin", "--organization", "partners/acme", "-q")
    north = await shell.secret(
        operator, "tokens", "create", "--role", "customer-admin", "--organization", "customers/north", "-q"
    )
    assert re.search(r"^organization +customers/north$", await shell.output(north, "whoami"), re.MULTILINE)

    out = await shell.output(north, "consents", "grant", "north", "acme", "--data-class", "telemetry", "--purpose", "reports")
    assert re.search(r"^state +active$", out, re.MULTILINE)
    assert re.search(r"^data_classes +telemetry$", out, re.MULTILINE)
    connections = await shell.output(admin, "connections", "list", "--of", "partners/acme")
    assert re.search(r"^partners/acme +customers/north +yes +-", connections, re.MULTILINE)
    assert re.search(r"^partners/acme +customers/south +no +CONSENT_MISSING", connections, re.MULTILINE)

    key = await shell.secret(admin, "keys", "create", "acme", "--kind", "all-customers", "--quiet")
    assert re.search(r"^customers/north +telemetry$", await shell.output(key, "coverage", "list"), re.MULTILINE)

    out = await shell.output(north, "consents", "revoke", "customers/north", "partners/acme")
    assert re.search(r"^state +revoked$", out, re.MULTILINE)
    assert "enforcement.revision" in out
    assert "customers/north" not in await shell.output(key, "coverage", "list")
    assert "revoked" in await shell.output(north, "consents", "list", "north")
    assert "revoked" in await shell.output(north, "consents", "get", "north", "acme")
    assert (await shell.refusal(key, "telemetry", "latest", "north")).startswith("error: CONSENT_REVOKED: ")


async def test_the_life_of_a_key(pair: Pair) -> None:
    await pair.authority.partner("acme")
    for customer in ("north", "south"):
        await pair.authority.valid_customer(customer, "acme")
    shell, admin = Shell(pair), await pair.authority.admin("partners/acme")
    chosen = ["--kind", "specific-customers", "--customer", "north", "--expire-time", "+30d", "--display-name", "first"]
    await shell.output(admin, "keys", "create", "acme", *chosen)

    (key,) = json.loads(await shell.output(admin, "keys", "list", "acme", "--json"))["keys"]
    name = key["name"]
    assert (key["kind"], key["customers"]) == ("KIND_SPECIFIC_CUSTOMERS", ["customers/north"])
    out = await shell.output(
        admin, "keys", "update", name, "--customer", "north", "--customer", "south", "--no-expire-time", "--display-name", "2nd"
    )
    assert re.search(r"^customers +customers/north, customers/south$", out, re.MULTILINE)
    assert "expire_time" not in out
    assert re.search(r"^display_name +2nd$", await shell.output(admin, "keys", "get", name), re.MULTILINE)
    stale = await shell.refusal(admin, "keys", "update", name, "--display-name", "3rd", "--etag", key["etag"])
    assert stale.startswith("error: ETAG_MISMATCH: ")

    assert "disabled" in await shell.output(admin, "keys", "disable", name)
    assert name not in await shell.output(admin, "keys", "list", "acme")
    assert name in await shell.output(admin, "keys", "list", "acme", "--all")
    assert "active" in await shell.output(admin, "keys", "enable", name)
    out = await shell.output(
        admin, "keys", "update", name, "--label", "team=ops", "--network", "127.0.0.0/8", "--calls-per-minute", "600"
    )
    assert re.search(r"^allowed_networks +127.0.0.0/8$", out, re.MULTILINE)
    assert re.search(r"^quota.calls_per_minute +600$", out, re.MULTILINE)
    assert "allowed_networks" not in await shell.output(admin, "keys", "update", name, "--from-everywhere")
    limited = await shell.output(admin, "keys", "update", name, "--audience", "devices", "--audience", "billing")
    assert re.search(r"^audiences +billing, devices$", limited, re.MULTILINE)
    assert "audiences" not in await shell.output(admin, "keys", "update", name, "--for-every-service")
    secret = await shell.secret(admin, "keys", "rotate", name, "--overlap", "1h", "-q")
    second = await shell.secret(admin, "keys", "rotate", name, "--overlap", "0s", "-q")
    assert (await shell.refusal(secret, "whoami")).startswith("error: CREDENTIAL_INVALID: ")
    assert re.search(rf"^credential +{name}$", await shell.output(second, "keys", "revoke-secret"), re.MULTILINE)
    assert (await shell.refusal(second, "whoami")).startswith("error: CREDENTIAL_INVALID: ")
    assert re.search(r"^rehearsing +yes$", await shell.output(admin, "keys", "rehearse", "acme"), re.MULTILINE)
    assert "rehearsing" not in await shell.output(admin, "keys", "rehearse", "acme", "--end")
    assert "enforcement" in await shell.output(admin, "keys", "delete", name)
    assert name not in await shell.output(admin, "keys", "list", "acme", "--all")


async def test_an_option_of_a_key_changes_its_own_part_only(pair: Pair) -> None:
    await pair.authority.partner("acme")
    shell, admin = Shell(pair), await pair.authority.admin("partners/acme")
    terms = ["--calls-per-minute", "600", "--open-streams", "4", "--label", "team=ops", "--label", "env=test"]
    networks = ["--network", "127.0.0.0/8", "--network", "192.0.2.0/24"]
    created = await shell.output(admin, "keys", "create", "acme", "--kind", "demo", *terms, *networks, "--json")
    key = json.loads(created)["key"]

    async def updated(*options: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await shell.output(admin, "keys", "update", key["name"], *options, "--json"))["key"]
        return found

    lowered = await updated("--open-streams", "2")
    assert lowered["quota"] == {"callsPerMinute": 600, "openStreams": 2}
    assert (lowered["labels"], lowered["allowedNetworks"]) == (key["labels"], ["127.0.0.0/8", "192.0.2.0/24"])
    assert (await updated("--calls-per-minute", "0"))["quota"] == {"callsPerMinute": 0, "openStreams": 2}
    assert (await updated("--label", "team=dev", "--no-label", "env"))["labels"] == {"team": "dev"}
    assert (await updated("--network", "192.0.2.0/24"))["allowedNetworks"] == ["192.0.2.0/24"], (
        "the whole list, as the help says"
    )
    emptied = await updated("--from-everywhere", "--no-label", "team", "--open-streams", "0")
    assert (emptied["labels"], emptied["allowedNetworks"], emptied.get("quota")) == ({}, [], None)


async def test_a_secret_is_printed_once_and_alone_on_standard_output(pair: Pair) -> None:
    await pair.authority.partner("acme")
    shell, admin = Shell(pair), await pair.authority.admin("partners/acme")
    result = await shell.run(admin, "keys", "create", "acme", "--kind", "demo")
    assert re.fullmatch(r"ck_demo_\w+\n", result.stdout)
    assert "cannot be shown again" in result.stderr
    assert result.stdout.strip() not in result.stderr
    quiet = await shell.run(admin, "keys", "create", "acme", "--kind", "demo", "--quiet")
    assert re.fullmatch(r"ck_demo_\w+\n", quiet.stdout)
    assert quiet.stderr == ""
    created = json.loads(await shell.output(admin, "keys", "create", "acme", "--kind", "demo", "--json"))
    assert created["secret"].startswith("ck_demo_")
    listed = await shell.output(admin, "keys", "list", "acme") + await shell.output(admin, "keys", "list", "acme", "--json")
    assert result.stdout.strip() not in listed
    token = await shell.run(pair.authority.operator, "tokens", "create", "--role", "service", "--audience", "billing")
    assert re.fullmatch(r"ct_\w+\n", token.stdout)


async def test_subscriptions_partners_and_tokens_come_and_go(pair: Pair) -> None:
    shell, operator = Shell(pair), pair.authority.operator
    await shell.output(operator, "customers", "create", "north")
    assert "active" in await shell.output(operator, "customers", "subscribe", "north", "--plan", "paid", "--expire-time", "+1d")
    assert "cancelled" in await shell.output(operator, "customers", "cancel", "north")
    assert "cancelled" in await shell.output(operator, "customers", "get", "customers/north")
    assert re.search(r"^customers/north .*cancelled", await shell.output(operator, "customers", "list"), re.MULTILINE)
    await shell.output(operator, "partners", "create", "acme")
    assert "partners/acme" in await shell.output(operator, "partners", "list")
    assert "partners/acme" in await shell.output(operator, "partners", "get", "acme")
    await shell.output(operator, "connections", "connect", "acme", "north")
    assert "enforcement" in await shell.output(operator, "connections", "disconnect", "acme", "north")
    assert "partners/acme" not in await shell.output(operator, "connections", "list")
    tokens = json.loads(await shell.output(operator, "tokens", "list", "--json"))["tokens"]
    asked = ("tokens", "create", "--role", "service", "--audience", "billing", "--json")
    created = json.loads(await shell.output(operator, *asked))
    name = created["token"]["name"]
    assert name not in {token["name"] for token in tokens}
    assert "enforcement" in await shell.output(operator, "tokens", "delete", name)
    assert name not in await shell.output(operator, "tokens", "list")


async def test_data_is_read_with_a_key(pair: Pair) -> None:
    await pair.authority.partner("acme")
    await pair.authority.valid_customer("north", "acme")
    shell, key = Shell(pair), (await pair.authority.key("acme")).secret
    north = await pair.gateway("north")
    await north.publish(load=[41.5, 42.0], alarms=[alarm("north")])

    assert "LOCATION" in (await shell.output(key, "inventory", "devices", "north"))
    assert UPS in await shell.output(key, "inventory", "devices", "north")
    assert re.search(r"^type +ups$", await shell.output(key, "inventory", "device", UPS), re.MULTILINE)
    assert json.loads(await shell.output(key, "inventory", "device", UPS, "--json"))["device"]["type"] == "TYPE_UPS"
    for parent in ("customers/north", UPS):
        assert re.search(r"/sensors/load +ups.load +%", await shell.output(key, "inventory", "sensors", parent))
    assert (await shell.output(key, "inventory", "locations", "north")).splitlines() == ["NAME  KIND  DISPLAY_NAME  PARENT"]

    assert re.search(r"alarms/power +critical +Power Failure", await shell.output(key, "alarms", "list", "north", "--active"))
    assert "on battery" in await shell.output(key, "alarms", "get", "customers/north/alarms/power")
    assert re.search(
        r"^1 .*activated", await shell.output(key, "alarms", "events", "customers/north/alarms/power"), re.MULTILINE
    )

    assert re.search(rf"^{UPS}/sensors/load +\S+Z +42$", await shell.output(key, "telemetry", "latest", "north"), re.MULTILINE)
    latest = json.loads(await shell.output(key, "telemetry", "latest", "north", "--device", UPS, "--json"))
    assert [reading["value"] for reading in latest["readings"]] == [42.0]
    history = await shell.output(key, "telemetry", "history", "north", "--start-time", "-1h", "--sensor", f"{UPS}/sensors/load")
    assert [line.split()[1:] for line in history.splitlines()] == [
        [f"{UPS}/sensors/load", "41.5"],
        [f"{UPS}/sensors/load", "42"],
    ]
    lines = await shell.output(key, "telemetry", "history", "north", "--start-time", "-1h", "--json")
    assert [json.loads(line)["block"]["values"] for line in lines.splitlines()] == [[41.5, 42.0]]
    steps = await shell.output(
        key,
        "telemetry",
        "history",
        "north",
        "--start-time",
        "-1h",
        "--step",
        "30d",
        "--aggregate",
        "mean",
        "--aggregate",
        "count",
    )
    assert [line.split()[1:] for line in steps.splitlines()] == [[f"{UPS}/sensors/load", "mean=41.75", "count=2"]]
    lines = await shell.output(key, "telemetry", "history", "north", "--start-time", "-1h", "--step", "30d", "--json")
    assert [json.loads(line)["lasts"] for line in lines.splitlines()] == [[42.0]]


async def test_the_feed_is_told_and_gone_on_with(pair: Pair) -> None:
    await pair.authority.partner("acme")
    await pair.authority.valid_customer("north", "acme")
    shell, key = Shell(pair), (await pair.authority.key("acme")).secret
    north = await pair.gateway("north")
    await north.publish(load=[41.5], alarms=[alarm("north")])
    told = await shell.run(key, "watch", "--until-synced")
    assert told.exit_code == 0
    kinds = [line.split()[0] for line in told.stdout.splitlines()]
    assert kinds[0] == "added"
    assert set(kinds) == {"added", "inventory", "alarm", "reading", "synced"}
    assert re.search(rf"^reading    \S+Z  {UPS}/sensors/load  41.5$", told.stdout, re.MULTILINE)
    found = re.search(r"--after-cursor (\S+)$", told.stderr, re.MULTILINE)
    assert found is not None

    await north.publish(load=[43.0])
    on = await shell.output(key, "watch", "--until-synced", "--after-cursor", found[1], "--json")
    messages = [json.loads(line) for line in on.splitlines()]
    assert [next(iter(message.keys() - {"cursor"})) for message in messages] == ["telemetry", "synced"]
    assert messages[0]["telemetry"]["devices"][0]["block"]["values"] == [43.0]
    narrow = await shell.output(key, "watch", "--until-synced", "--customer", "north", "--data-class", "alarms")
    assert {line.split()[0] for line in narrow.splitlines()} == {"added", "alarm", "synced"}
    await north.publish(load=[50.0, 51.0], device="pdu")
    of_one = await shell.output(key, "watch", "--until-synced", "--device", f"{UPS.rpartition('/')[0]}/pdu")
    assert {line.split()[0] for line in of_one.splitlines()} == {"added", "inventory", "reading", "synced"}
    latest = await shell.output(key, "watch", "--until-synced", "--latest", "--strict", "--after-cursor", found[1])
    assert "folded     1 readings" in latest.splitlines()
    foreign = await shell.run(key, "watch", "--after-cursor", found[1], "--customer", "north")
    assert (foreign.exit_code, foreign.stdout) == (1, "")
    assert "CURSOR_INVALID" in foreign.stderr


async def test_coverage_is_told_as_it_changes(pair: Pair, tmp_path: Path) -> None:
    await pair.authority.partner("acme")
    await pair.authority.valid_customer("north", "acme")
    await pair.authority.valid_customer("south", "acme")
    key = tmp_path / "key.token"
    key.write_text((await pair.authority.key("acme")).secret + "\n", encoding="utf-8")
    watching = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "consentry_cli", "coverage", "watch",
        "--authority", pair.authority.address, "--token-file", str(key), "--json",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert watching.stdout is not None
    try:
        async with asyncio.timeout(20):
            start = [json.loads(await watching.stdout.readline()) for _ in range(3)]
            await pair.authority.revoke("north", "acme")
            change = json.loads(await watching.stdout.readline())
            watching.send_signal(2)
            _, told = await watching.communicate()
    finally:
        if watching.returncode is None:
            watching.kill()
    assert [next(iter(message.keys() - {"revision"})) for message in start] == ["covered", "covered", "synced"]
    # Cut off before the list is complete, one comes back for all of it.
    assert [bool(message["revision"]) for message in start] == [False, False, True]
    assert change["uncovered"] == {"customer": "customers/north", "reason": "CONSENT_REVOKED"}
    assert watching.returncode == 0
    # Interrupted just after the line, it may name the one before: told again, never left out.
    revisions = {start[2]["revision"], change["revision"]}
    assert told.decode() in {f"to go on from here: --after-revision {revision}\n" for revision in revisions}


async def test_refusals_name_the_reason_and_the_fields(pair: Pair) -> None:
    await pair.authority.partner("acme")
    shell, operator = Shell(pair), pair.authority.operator
    assert (await shell.refusal(operator, "partners", "create", "acme")).startswith("error: ALREADY_EXISTS: ")
    assert "partner_id" in await shell.refusal(operator, "partners", "create", "No")
    assert (await shell.refusal(operator, "customers", "get", "nobody")).startswith("error: NOT_FOUND: ")
    assert (await shell.refusal("ct_forged", "whoami")).startswith("error: CREDENTIAL_INVALID: ")
    admin = await pair.authority.admin("partners/acme")
    assert (await shell.refusal(admin, "partners", "list")).startswith("error: ")
    many = ["--customer", "unknown-one", "--customer", "unknown-two"]
    refused = await shell.refusal(admin, "keys", "create", "acme", "--kind", "specific-customers", *many)
    assert "unknown-one" in refused
    assert "unknown-two" in refused
    for secret in (operator, admin):
        assert secret not in refused
