"""`consentry demo`: tell the story, or leave the platform up to be tried."""

import asyncio
import secrets
import tempfile
from pathlib import Path

import click

from consentry_cli.demo.platform import Kind
from consentry_cli.demo.stage import PARTNER, Addresses, Stage, stage
from consentry_cli.demo.story import Story
from consentry_cli.demo.telling import Teller
from consentry_cli.helping import Command
from consentry_core.process.lifecycle import until_signalled
from consentry_core.process.tls import ClientTls
from consentry_core.process.transport import client_tls

CUSTOMER = "north"
"""A customer that is connected to the partner of the demo, for people to click as."""

_FILE = click.Path(path_type=Path, resolve_path=True)


@click.command(cls=Command)
@click.option("--stay", is_flag=True, help="Leave both services and the demo customer up until Ctrl-C, to be tried.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path(".consentry"),
    show_default=True,
    envvar="CONSENTRY_DATA_DIR",
    help="With --stay: where the data is kept from one run to the next.",
)
@click.option("--free-ports", is_flag=True, help="With --stay: on free ports instead of 7401, 7402 and 7403.")
@click.option("--tls-ca", type=_FILE, help="With the next two: all of it over TLS. Authorities of the certificate, PEM.")
@click.option("--tls-certificate", type=_FILE, help="What both services show, PEM; made out to 127.0.0.1.")
@click.option("--tls-key", type=_FILE, help="The certificate's private key, PEM.")
def demo(
    *, stay: bool, data_dir: Path, free_ports: bool, tls_ca: Path | None, tls_certificate: Path | None, tls_key: Path | None
) -> None:
    """Run the whole platform with real processes: the story, which ends by itself, or (--stay) something to try."""
    if (tls_ca is None) != (tls_certificate is None):
        raise click.UsageError("TLS takes --tls-ca, --tls-certificate and --tls-key: who signed, and what both services show")
    tls = client_tls(tls_ca, tls_certificate, tls_key)
    if not stay:
        asyncio.run(_tell(tls))
        return
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    asyncio.run(
        _stay(
            data_dir.absolute(),
            Addresses() if free_ports else Addresses("127.0.0.1:7401", "127.0.0.1:7402", "127.0.0.1:7403"),
            tls,
        )
    )


async def _tell(tls: ClientTls | None) -> None:
    with tempfile.TemporaryDirectory(prefix="consentry-demo-") as folder:
        teller = Teller()
        teller.chapter("Both services start, on free ports")
        async with stage(Path(folder), Addresses(), agents=True, tls=tls) as running:
            teller.happened(f"authority on {running.addresses.authority}, device-data service on {running.addresses.devices}")
            await Story(running, teller).tell()
            running.processes.check()
        teller.chapter("All as told. Nothing is left behind.")


async def _stay(data_dir: Path, addresses: Addresses, tls: ClientTls | None) -> None:
    async with stage(data_dir, addresses, agents=False, tls=tls) as running:
        running.simulator(speed=60)
        await running.platform.create_partner(PARTNER)
        key = await running.platform.create_key(PARTNER, Kind.KIND_DEMO)
        people = await running.platform.people(PARTNER, CUSTOMER)
        links = {who: secrets.token_urlsafe(16) for who in people}
        codes = {links[who]: token for who, token in people.items()}
        console = await asyncio.to_thread(running.console, codes, addresses.console)
        click.echo(to_try(running, key.secret))
        click.echo(f"\nIn a browser, each link once: http://{console} as")
        for who, code in links.items():
            click.echo(f"  {who:<18} http://{console}/link/{code}")
        await until_signalled()


def to_try(running: Stage, secret: str) -> str:
    """What can be pasted into another terminal. The secret is in a variable, not among a command's arguments."""
    way = "-plaintext" if running.tls is None else f"-cacert {running.tls.ca}"
    grpcurl = f"grpcurl {way} -expand-headers -H 'authorization: Bearer ${{KEY}}'"
    authority, devices = running.addresses.authority, running.addresses.devices
    return "\n".join(
        [
            f"The platform is up, its data in {running.folder}. Paste into another terminal (Ctrl-C here ends it):",
            "",
            f"export KEY={secret}",
            f"grpcurl {way} {authority} list",
            f"grpcurl {way} {devices} describe consentry.devices.v1.FeedService",
            f"{grpcurl} {authority} consentry.authority.v1.CoverageService/ListCoveredCustomers",
            f'{grpcurl} -d \'{{"parent": "customers/demo"}}\' {devices} consentry.devices.v1.InventoryService/ListDevices',
            f'{grpcurl} -d \'{{"parent": "customers/demo"}}\' {devices} consentry.devices.v1.TelemetryService/QueryLatest',
            f"{grpcurl} -d '{{}}' {devices} consentry.devices.v1.FeedService/Watch",
        ]
    )
