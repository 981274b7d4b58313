"""TLS and mutual TLS: the pair, a gateway and the tools over it; whose certificate may call what; replacing them."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner

from consentry.authority.v1 import directory_pb2, directory_pb2_grpc, enforcement_pb2, enforcement_pb2_grpc, keys_pb2
from consentry.devices.v1 import gateway_pb2_grpc
from consentry_authority.app import start as start_authority
from consentry_cli.cli import cli
from consentry_client import AsyncClient, Client, ClientTls, Telemetry
from consentry_core.process.settings import SettingError
from consentry_core.process.tls import PemFiles
from consentry_core.rpc.client.channels import bearer, open_channel
from consentry_core.rpc.errors import error_info
from consentry_devices.app import DevicesSettings
from consentry_devices.app import start as start_devices
from consentry_gateway.app import SimulateSettings
from consentry_gateway.app import start as start_gateway
from consentry_guard import Guard
from support.authority import running_authority, settings_of
from support.certificates import Certificates
from support.pair import PATIENCE, Pair, running_pair

LISTEN = "127.0.0.1:0"
TOP = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "tls")


@pytest.fixture
async def pair(tmp_path: Path, certificates: Certificates) -> AsyncIterator[Pair]:
    """The pair over TLS; the device-data service and gateways come with certificates, to addresses that ask for them."""
    certificate, key = certificates.loopback("devices.internal")
    common = {
        "tls_certificate": certificate,
        "tls_key": key,
        "tls_client_ca": certificates.ca,
        "mutual_listen": LISTEN,
    }
    async with running_pair(
        tmp_path,
        tls=certificates.client(),
        of_authority=common | {"enforcement_clients": "other.internal, devices.internal"},
        of_devices=common | {"gateway_clients": "*.gateways.internal", "authority_tls_ca": certificates.ca},
    ) as running:
        await running.authority.partner("acme")
        yield running


def simulator(pair: Pair, tls: ClientTls, **settings: Any) -> SimulateSettings:
    given: dict[str, Any] = {
        "devices": pair.devices.mutual_address,
        "token": pair.authority.gateway,
        "data_dir": pair.folder / "gateway",
        "interval": 0.05,
        "tls_ca": tls.ca,
        "tls_certificate": tls.certificate,
        "tls_key": tls.key,
    }
    return SimulateSettings(**(given | settings))


async def test_a_gateways_readings_reach_a_partner_over_tls_all_the_way(pair: Pair, certificates: Certificates) -> None:
    key = await pair.authority.key("acme", keys_pb2.Key.KIND_DEMO)
    gateway = await start_gateway(simulator(pair, certificates.client("site1.gateways.internal")))
    try:
        async with (
            asyncio.timeout(PATIENCE),
            AsyncClient(
                authority=pair.authority.address,
                devices=pair.devices.address,
                secret=key.secret,
                tls=certificates.client(),
            ) as client,
        ):
            assert [customer.name async for customer in client.covered_customers()] == ["customers/demo"]
            async for event in client.watch():
                if isinstance(event, Telemetry):
                    break
    finally:
        await gateway.stop()

    def without_an_event_loop() -> bool:
        with Client(devices=pair.devices.address, secret=key.secret, tls=certificates.client()) as client:
            return bool(client.latest("customers/demo"))

    assert await asyncio.to_thread(without_an_event_loop)


@pytest.mark.parametrize(
    ("name", "reason"), [("", "CERTIFICATE_MISSING"), ("elsewhere.internal", "CERTIFICATE_NOT_ALLOWED"), ("other.internal", "")]
)
async def test_only_listed_certificates_may_call_the_enforcement_service(
    pair: Pair, certificates: Certificates, name: str, reason: str
) -> None:
    address = pair.authority.authority.mutual_address if name else pair.authority.address
    async with open_channel(address, certificates.client(name)) as channel:
        stub = enforcement_pb2_grpc.EnforcementServiceStub(channel)
        request = enforcement_pb2.VerifyCredentialRequest(secret=pair.authority.service)
        asked = stub.VerifyCredential(request, metadata=bearer(pair.authority.service), timeout=PATIENCE)
        if not reason:
            assert (await asked).credential
            return
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asked
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert error_info(caught.value).reason == reason
        assert "certificate" in str(caught.value.details())
        # What administrators call is open to them without one.
        await stub.ListEnforcementPoints(
            enforcement_pb2.ListEnforcementPointsRequest(), metadata=bearer(pair.authority.operator)
        )


@pytest.mark.parametrize("name", ["", "devices.internal", "deep.site1.gateways.internal", "ada@site1.gateways.internal"])
async def test_only_listed_certificates_may_publish(pair: Pair, certificates: Certificates, name: str) -> None:
    address = pair.devices.mutual_address if name else pair.devices.address
    async with open_channel(address, certificates.client(name)) as channel:
        call: Any = gateway_pb2_grpc.GatewayServiceStub(channel).Publish(metadata=bearer(pair.authority.gateway))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(call.read(), PATIENCE)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_who_has_no_certificate_of_ours_gets_no_connection(
    pair: Pair, certificates: Certificates, tmp_path: Path
) -> None:
    strangers = Certificates(tmp_path / "strangers", "strangers")
    theirs = strangers.client("devices.internal")
    mixed = ClientTls(certificates.ca, theirs.certificate, theirs.key)
    for address, tls in (
        (pair.authority.authority.mutual_address, certificates.client()),
        (pair.authority.authority.mutual_address, mixed),
        (pair.authority.address, strangers.client()),
        (pair.authority.address, None),
    ):
        async with open_channel(address, tls) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await list_partners(channel, pair.authority.operator)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def list_partners(channel: grpc.aio.Channel, operator: str) -> directory_pb2.ListPartnersResponse:
    stub = directory_pb2_grpc.DirectoryServiceStub(channel)
    return await stub.ListPartners(directory_pb2.ListPartnersRequest(), metadata=bearer(operator), timeout=PATIENCE)


async def test_commands_work_over_tls(pair: Pair, certificates: Certificates) -> None:
    def consentry(*arguments: str) -> Any:
        return CliRunner().invoke(
            cli, arguments, env={"CONSENTRY_TOKEN": pair.authority.operator, "CONSENTRY_TLS_CA": str(certificates.ca)}
        )

    told = await asyncio.to_thread(consentry, "partners", "list", f"--authority={pair.authority.address}")
    assert told.exit_code == 0, told.output
    assert "partners/acme" in told.stdout


# Replacing certificates


async def test_a_replaced_certificate_is_shown_without_a_restart(tmp_path: Path, certificates: Certificates) -> None:
    certificate, key = certificates.loopback()
    newer = Certificates(tmp_path / "newer", "newer")
    async with running_authority(
        tmp_path / "authority", tls=certificates.client(), tls_certificate=certificate, tls_key=key
    ) as authority:
        await list_partners(authority.channel, authority.operator)
        replaced, replaced_key = newer.loopback()

        certificate.write_text("half written", encoding="utf-8")
        async with open_channel(authority.address, certificates.client()) as channel:
            await list_partners(channel, authority.operator)  # the former one stays until there is another that can be used

        certificate.write_bytes(replaced.read_bytes())
        key.write_bytes(replaced_key.read_bytes())
        async with open_channel(authority.address, newer.client()) as channel:
            await list_partners(channel, authority.operator)
        await list_partners(authority.channel, authority.operator)  # a connection that was there goes on


async def test_a_client_takes_up_replaced_certificates(tmp_path: Path, certificates: Certificates) -> None:
    """Both sides change over: the channel that was open before reaches the service that came after."""
    certificate, key = certificates.loopback()
    newer = Certificates(tmp_path / "newer", "newer")
    folder = tmp_path / "authority"
    tls = certificates.client()
    async with running_authority(folder, tls=tls, tls_certificate=certificate, tls_key=key) as authority:
        await list_partners(authority.channel, authority.operator)
        await authority.authority.stop()
        certificate, key = newer.loopback()
        again = await start_authority(settings_of(folder, listen=authority.address, tls_certificate=certificate, tls_key=key))
        try:
            certificates.trust(newer)
            await list_partners(authority.channel, authority.operator)
        finally:
            await again.stop()


def test_files_that_cannot_be_used_are_named(tmp_path: Path, certificates: Certificates) -> None:
    certificate, _ = certificates.issue("one", "one.internal")
    _, other_key = certificates.issue("two", "two.internal")
    with pytest.raises(SettingError, match="the certificate's own"):
        PemFiles(ca=None, certificate=certificate, key=other_key).read()
    with pytest.raises(SettingError, match=r"none\.pem"):
        PemFiles(ca=tmp_path / "none.pem", certificate=None, key=None).read()
    with pytest.raises(SettingError, match="neither"):
        PemFiles(ca=None, certificate=certificate, key=None).read()


# Plaintext


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"listen": "0.0.0.0:0"}, "--tls-certificate"),
        ({"channelz_listen": "0.0.0.0:0"}, "--plaintext"),
        ({"tls_certificate": Path("x.pem")}, "--tls-key"),
        ({"mutual_listen": LISTEN}, "--tls-client-ca"),
        ({"tls_client_ca": Path("x.pem")}, "--tls-certificate"),
        ({"enforcement_clients": "a"}, "--tls-client-ca"),
        ({"connection_age": -1.0}, "--connection-age"),
    ],
)
async def test_settings_that_make_no_sense_are_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        async with running_authority(tmp_path, **settings):
            pass


async def test_plaintext_beyond_loopback_is_asked_for(tmp_path: Path) -> None:
    async with running_authority(tmp_path / "authority", listen="0.0.0.0:0", plaintext=True) as authority:
        await list_partners(authority.channel, authority.operator)
    with pytest.raises(SettingError, match="--plaintext"):
        await start_devices(DevicesSettings(listen=LISTEN, authority="authority:7401", token="x", data_dir=tmp_path))
    with pytest.raises(SettingError, match="plaintext"):
        Guard(target="authority:7401", token="x", service="other", policies={})
    with pytest.raises(SettingError, match="--tls-ca"):
        await start_gateway(SimulateSettings(devices="devices:7402", token="x", data_dir=tmp_path / "gateway"))
    with pytest.raises(ValueError, match="plaintext=True"):
        Client(devices="devices:7402", secret="x")
    with pytest.raises(ValueError, match="plaintext=True"):
        AsyncClient(devices="devices:7402", secret="x")
    refused = await asyncio.to_thread(
        CliRunner().invoke, cli, ["whoami", "--authority=authority:7401"], env={"CONSENTRY_TOKEN": "x"}
    )
    assert refused.exit_code == 2
    assert "--plaintext" in refused.stderr


# Documents


async def test_the_chapters_commands_work(pair: Pair, certificates: Certificates) -> None:
    key = await pair.authority.key("acme", keys_pb2.Key.KIND_DEMO)
    chapter = (TOP / "services/consentry_core/README.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```sh\n(.*?)^```$", chapter, re.DOTALL | re.MULTILINE)
    script = script.replace("127.0.0.1:7401", pair.authority.address).replace("127.0.0.1:7402", pair.devices.address)
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", script,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "CA": str(certificates.ca), "KEY": key.secret},
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, output.decode()
    assert b"customers/demo" in output
