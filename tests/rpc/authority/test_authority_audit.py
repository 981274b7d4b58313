"""The audit log of a real authority: who was let do what, who was refused what, and what `consentry audit` says of it."""

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from consentry.authority.v1 import consent_pb2, directory_pb2, enforcement_pb2, enforcement_pb2_grpc, tokens_pb2
from consentry.devices.v1 import inventory_pb2
from consentry_authority.app import AuthoritySettings, initialize, migrate_database, restored, start
from consentry_authority.audit.chain import EntryKind
from consentry_authority.setup.audit_log import entries
from consentry_core.process.settings import SettingError
from consentry_core.rpc.client.channels import bearer, open_channel
from support.authority import RunningAuthority, running_authority, settings_of
from support.certificates import Certificates
from support.cli import consentry
from support.pair import running_pair
from support.refusals import refusal_of

_A = "/consentry.authority.v1."


def log(folder: Path) -> list[Mapping[str, Any]]:
    """What `consentry audit show` prints."""
    result = consentry("audit", "show", "--data-dir", str(folder))
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def of_kind(folder: Path, kind: EntryKind) -> list[Mapping[str, Any]]:
    return [entry for entry in log(folder) if entry["kind"] == kind]


def stored(folder: Path) -> str:
    """All that is in the database's files."""
    return "".join(file.read_bytes().decode("latin-1") for file in folder.glob("authority.db*"))


async def forged(authority: RunningAuthority, secret: str, count: int = 1) -> None:
    for _ in range(count):
        refused = await refusal_of(authority.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=bearer(secret)))
        assert refused.message == "the credential is not valid", "the detail is for the log alone"


async def test_a_change_is_told_with_caller_peer_and_request_id(tmp_path: Path) -> None:
    async with running_authority(tmp_path) as authority:
        await authority.partner("acme")
        await authority.customer("north")
        await authority.connect("acme", "north")
        secret = await authority.admin("customers/north")
        me = (await authority.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=bearer(secret))).name
        await authority.consents.GrantConsent(
            consent_pb2.GrantConsentRequest(customer="customers/north", partner="partners/acme"),
            metadata=(*bearer(secret), ("x-request-id", "ticket-4711")),
        )
        # Read while the authority runs: a change is in the log when its caller has been answered.
        entry = log(tmp_path)[-1]
    assert entry["kind"] == "change"
    assert (entry["actor"], entry["organization"]) == (me, "customers/north")
    assert entry["method"] == f"{_A}ConsentService/GrantConsent"
    assert entry["peer"].startswith(("ipv4:127.0.0.1:", "ipv6:[::1]:"))
    assert entry["request_id"] == "ticket-4711"
    assert list(entry["document"]) == ["customers/north/consents/acme"]


async def test_every_refusal_and_failure_is_told_with_what_the_caller_is_not_told(tmp_path: Path) -> None:
    async with running_authority(tmp_path) as authority:
        await authority.partner("acme")
        await authority.customer("north")
        key = await authority.key("acme")
        token = await authority.token(tokens_pb2.Token.ROLE_PARTNER_ADMIN, "partners/acme")
        public_id = key.secret.split("_")[2]
        last = "0" if key.secret[-1] != "0" else "1"
        await forged(authority, key.secret[:-1] + last)
        await forged(authority, "nonsense")
        await authority.tokens.DeleteToken(
            tokens_pb2.DeleteTokenRequest(name=token.token.name), metadata=bearer(authority.operator)
        )
        await forged(authority, token.secret)
        foreign = consent_pb2.ListConsentsRequest(parent="customers/north")
        await refusal_of(authority.consents.ListConsents(foreign, metadata=bearer(await authority.admin("partners/acme"))))
        verify = enforcement_pb2.VerifyCredentialRequest(secret="ck_all_nothing", peer="ipv4:192.0.2.7:1")
        await refusal_of(authority.enforcement.VerifyCredential(verify, metadata=bearer(authority.service)))
        admin, service = await who(authority, "partners/acme"), await me(authority, authority.service)
    failures = of_kind(tmp_path, EntryKind.FAILURE)
    dead = token.secret.split("_")[1]
    assert [(entry["actor"], entry["outcome"], entry["document"]["detail"]) for entry in failures] == [
        ("", "CREDENTIAL_INVALID", "malformed or forged"),
        ("", "CREDENTIAL_INVALID", "malformed or forged"),
        ("", "CREDENTIAL_INVALID", f"secret {dead} is dead"),
        (service, "SECRET_INVALID", "malformed or forged, shown by ipv4:192.0.2.7:1"),
    ]
    (refused,) = of_kind(tmp_path, EntryKind.REFUSAL)
    assert (refused["actor"], refused["organization"], refused["outcome"]) == (admin, "partners/acme", "CALLER_NOT_ALLOWED")
    assert refused["method"] == f"{_A}ConsentService/ListConsents"
    assert public_id in json.dumps(log(tmp_path)), "the public side of a secret may be told"
    everything = stored(tmp_path)
    for secret in (key.secret, token.secret, authority.operator):
        assert secret not in everything


async def test_who_comes_without_the_right_certificate_is_told(tmp_path: Path) -> None:
    """Over mutual TLS: the service's own token is with somebody who has none, or another's, so it is not even looked at."""
    certificates = Certificates(tmp_path / "tls")
    certificate, key = certificates.loopback()
    folder = tmp_path / "authority"
    async with running_authority(
        folder,
        tls=certificates.client(),
        tls_certificate=certificate,
        tls_key=key,
        tls_client_ca=certificates.ca,
        mutual_listen="127.0.0.1:0",
        enforcement_clients="devices.internal",
    ) as authority:
        metadata = (*bearer(authority.service), ("x-request-id", "ticket-4712"))
        mutual = authority.authority.mutual_address
        async with open_channel(authority.address, certificates.client()) as without:
            stub = enforcement_pb2_grpc.EnforcementServiceStub(without)
            verify = enforcement_pb2.VerifyCredentialRequest(secret="ck_all_nothing")
            await refusal_of(stub.VerifyCredential(verify, metadata=metadata))
        async with open_channel(mutual, certificates.client("elsewhere.internal")) as anothers:
            call: Any = enforcement_pb2_grpc.EnforcementServiceStub(anothers).Follow(metadata=metadata)
            await refusal_of(call.read())
        async with open_channel(mutual, certificates.client("devices.internal")) as listed:
            stub = enforcement_pb2_grpc.EnforcementServiceStub(listed)
            await refusal_of(stub.VerifyCredential(verify, metadata=metadata))
        secret, service = authority.service, await me(authority, authority.service)
    missing, not_allowed = of_kind(folder, EntryKind.REFUSAL)
    assert (missing["outcome"], not_allowed["outcome"]) == ("CERTIFICATE_MISSING", "CERTIFICATE_NOT_ALLOWED")
    for entry, method in ((missing, "VerifyCredential"), (not_allowed, "Follow")):
        assert (entry["actor"], entry["organization"]) == ("", ""), "nobody knows who it was"
        assert entry["method"] == f"{_A}EnforcementService/{method}"
        assert entry["peer"].startswith(("ipv4:127.0.0.1", "ipv6:[::1]"))
        assert entry["request_id"] == "ticket-4712"
    assert "elsewhere.internal" in not_allowed["document"]["detail"], "whose certificate it was"
    (failure,) = of_kind(folder, EntryKind.FAILURE)
    assert failure["actor"] == service, "with a certificate that is listed, it is the service that shows a bad secret"
    assert secret not in stored(folder)


@pytest.mark.parametrize(("proxies", "told"), [("127.0.0.1, ::1", "ipv4:198.51.100.7 via "), ("10.0.0.0/8", ""), ("", "")])
async def test_only_a_trusted_proxy_says_where_its_client_is(tmp_path: Path, proxies: str, told: str) -> None:
    """Its own word, behind what its client has written; from anybody else the same header says nothing."""
    async with running_authority(tmp_path, trusted_proxies=proxies) as authority:
        forwarded = ("x-forwarded-for", "203.0.113.9, 198.51.100.7")
        partner = directory_pb2.CreatePartnerRequest(partner_id="acme", partner=directory_pb2.Partner(display_name="Acme"))
        await authority.directory.CreatePartner(partner, metadata=(*bearer(authority.operator), forwarded))
        await refusal_of(authority.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=(*bearer("ct_forged"), forwarded)))
        foreign = consent_pb2.ListConsentsRequest(parent="customers/demo")
        admin = await authority.admin("partners/acme")
        await refusal_of(authority.consents.ListConsents(foreign, metadata=(*bearer(admin), forwarded)))
        await authority.customer("north")
    entries = log(tmp_path)
    changed, *_ = [entry for entry in entries if "partners/acme" in (entry["document"] or {})]
    (failed,), (refused,) = of_kind(tmp_path, EntryKind.FAILURE), of_kind(tmp_path, EntryKind.REFUSAL)
    for entry in (changed, failed, refused):
        assert entry["peer"].startswith((f"{told}ipv4:127.0.0.1:", f"{told}ipv6:[::1]:")), entry
    assert "203.0.113.9" not in stored(tmp_path), "nor anywhere what the client wrote"
    (registered,) = [entry for entry in entries if "customers/north" in (entry["document"] or {})]
    assert registered["peer"].startswith(("ipv4:127.0.0.1:", "ipv6:[::1]:")), "a proxy that names nobody is the caller itself"


async def test_a_secret_that_a_service_was_shown_is_told_with_whom_its_trusted_proxy_names(tmp_path: Path) -> None:
    async with running_pair(tmp_path, of_devices={"trusted_proxies": "127.0.0.1, ::1"}) as pair:
        metadata = (*bearer("ck_all_nothing"), ("x-forwarded-for", "203.0.113.9, 198.51.100.7"))
        await refusal_of(pair.inventory.ListDevices(inventory_pb2.ListDevicesRequest(), metadata=metadata))
    (failure,) = of_kind(tmp_path / "authority", EntryKind.FAILURE)
    assert failure["document"]["detail"].startswith("malformed or forged, shown by ipv4:198.51.100.7 via ipv4:127.0.0.1:")


async def test_a_flood_by_one_client_of_a_service_leaves_room_for_the_failures_of_its_others(tmp_path: Path) -> None:
    async with running_authority(tmp_path) as authority:
        for peer in ["ipv4:203.0.113.66:1"] * 40 + ["ipv4:198.51.100.7:1"]:
            verify = enforcement_pb2.VerifyCredentialRequest(secret="ck_all_forged", peer=peer)
            await refusal_of(authority.enforcement.VerifyCredential(verify, metadata=bearer(authority.service)))
    shown = [entry["document"]["detail"].rpartition(" ")[2] for entry in of_kind(tmp_path, EntryKind.FAILURE)]
    assert shown.count("ipv4:198.51.100.7:1") == 1
    assert 0 < shown.count("ipv4:203.0.113.66:1") < 40


async def test_a_flood_of_forged_secrets_is_sampled_and_counted(tmp_path: Path) -> None:
    async with running_authority(tmp_path) as authority:
        await forged(authority, "ck_all_forged", 300)
        await authority.customer("north")  # and whoever is let in goes on being served, and told
    failures, left_out = of_kind(tmp_path, EntryKind.FAILURE), of_kind(tmp_path, EntryKind.LEFT_OUT)
    assert 20 <= len(failures) <= 22  # and one in ten seconds, for they are turned away slowly
    counted = [entry["document"]["left_out"] for entry in left_out]
    assert all(told.keys() == {"failure: CREDENTIAL_INVALID"} for told in counted)
    assert sum(told["failure: CREDENTIAL_INVALID"] for told in counted) == 300 - len(failures)
    assert [entry for entry in log(tmp_path) if "customers/north" in (entry["document"] or {})]


async def test_verify_and_export_head_find_what_was_done_to_the_log(tmp_path: Path) -> None:
    async with running_authority(tmp_path) as authority:
        await authority.partner("acme")
        await authority.valid_customer("north", "acme")
        await forged(authority, "ck_all_forged")
        folder = ("--data-dir", str(tmp_path))
        whole = consentry("audit", "verify", *folder)  # while the authority runs
        assert whole.exit_code == 0, whole.output
    head = tmp_path / "head.json"
    head.write_text(consentry("audit", "export-head", *folder).stdout)
    assert consentry("audit", "verify", *folder, "--head", str(head)).exit_code == 0
    with sqlite3.connect(tmp_path / "authority.db") as database:
        database.execute("DROP TRIGGER audit_no_delete")
        (last,) = database.execute("SELECT max(number) FROM audit").fetchone()
        database.execute("DELETE FROM audit WHERE number = ?", (last,))  # the failure, which is no change of the history
        number, digest = database.execute("SELECT number, digest FROM audit ORDER BY number DESC LIMIT 1").fetchone()
        database.execute("UPDATE audit_head SET number = ?, digest = ?", (number, digest))
    assert consentry("audit", "verify", *folder).exit_code == 0, "nothing in the database tells any more"
    cut = consentry("audit", "verify", *folder, "--head", str(head))
    assert cut.exit_code == 1
    assert "its end was cut off" in cut.stderr
    with sqlite3.connect(tmp_path / "authority.db") as database:
        database.execute("DROP TRIGGER audit_no_update")
        database.execute("UPDATE audit SET actor = 'tokens/somebody' WHERE number = 2")
    changed = consentry("audit", "verify", *folder)
    assert changed.exit_code == 1
    assert "entry 2 does not fit" in changed.stderr
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("{}")
    assert consentry("audit", "verify", *folder, "--head", str(nonsense)).exit_code == 2


async def test_an_authority_does_not_go_on_with_a_key_that_the_log_was_not_written_with(tmp_path: Path) -> None:
    initialize(settings_of(tmp_path))
    key = tmp_path / "audit.key"
    kept = key.read_text()
    key.unlink()
    with pytest.raises(SettingError, match="put the audit keys back"):
        await start(settings_of(tmp_path))
    migrate_database(settings_of(tmp_path))  # makes a new one
    with pytest.raises(SettingError, match="put that key back"):
        await start(settings_of(tmp_path))
    key.write_text(key.read_text() + kept)
    async with running_authority(tmp_path) as authority:
        await authority.partner("acme")
    assert consentry("audit", "verify", "--data-dir", str(tmp_path)).exit_code == 0


def test_a_restored_backup_is_told(tmp_path: Path) -> None:
    settings: AuthoritySettings = settings_of(tmp_path)
    initialize(settings)
    restored(settings)
    assert list(entries(settings, after=0))[-1].entry.method == "consentry restored"
    assert consentry("audit", "verify", "--data-dir", str(tmp_path)).exit_code == 0


async def who(authority: RunningAuthority, organization: str) -> str:
    return await me(authority, await authority.admin(organization))


async def me(authority: RunningAuthority, secret: str) -> str:
    return (await authority.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=bearer(secret))).name
