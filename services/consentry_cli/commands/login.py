"""`consentry login`, `logout`, `profiles`: addresses and credentials that need not be said again."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from consentry.authority.v1 import tokens_pb2
from consentry.authority.v1.tokens_pb2_grpc import TokenServiceStub
from consentry_cli import profiles
from consentry_cli.answers import Answers, Form
from consentry_cli.call import Call, credential_of, failures, way_to
from consentry_cli.helping import Command
from consentry_cli.output import say
from consentry_cli.profiles import DEFAULT, Profile, place
from consentry_core.process.files import read_credential
from consentry_core.process.settings import SettingError
from consentry_core.rpc.client.channels import open_sync_channel

_name = click.option("--profile", default=DEFAULT, show_default=True, envvar="CONSENTRY_PROFILE", help="Its name.")
_FILE: Any = click.Path(path_type=Path)


@click.command(cls=Command)
@_name
@click.option("--authority", default="127.0.0.1:7401", show_default=True, help="Address of the authority.")
@click.option("--devices", default="127.0.0.1:7402", show_default=True, help="Address of the device-data service.")
@click.option("--token-file", type=_FILE, help="File with the token or API key. Else it is asked for, or read from a pipe.")
@click.option("--tls-ca", type=_FILE, help="Authorities of the services' certificates, PEM. Without: plaintext.")
@click.option("--tls-certificate", type=_FILE, help="Certificate to show the services, PEM, where they ask for one.")
@click.option("--tls-key", type=_FILE, help="The private key of --tls-certificate, PEM.")
@click.option("--plaintext", is_flag=True, help="Go without TLS beyond the loopback interface too.")
def login(*, profile: str, authority: str, devices: str, token_file: Path | None, plaintext: bool, **tls: Path | None) -> None:
    """Keep a credential, and where the services are, under a name.

    The credential is tried first. It is kept in a file that only you can read; commands use it when nothing else is said.
    """
    secret = read_credential(token_file) if token_file is not None else credential_of(_asked())
    paths = {name: "" if path is None else str(path.absolute()) for name, path in tls.items()}
    kept = Profile(authority=authority, devices=devices, plaintext=plaintext, secret=secret, **paths)
    with (
        failures("authority", authority),
        open_sync_channel(authority, way_to(authority, plaintext=plaintext, **tls)) as channel,
    ):
        call = Call(channel, secret, Answers(Form.TABLE))
        who = call.ask(TokenServiceStub(channel).WhoAmI, tokens_pb2.WhoAmIRequest())
    there = profiles.read(place())
    profiles.write(place(), there | {profile: replace(kept, organization=who.organization)})
    say(f"kept as profile {profile}, {_whose(who.organization)}")


@click.command(cls=Command)
@_name
def logout(profile: str) -> None:
    """Forget a profile. Its token or key stays valid: `consentry tokens delete` or `keys delete` ends it."""
    there = profiles.read(place())
    if there.pop(profile, None) is None:
        raise SettingError(f"no profile {profile!r} in {place()}; there are: {', '.join(sorted(there)) or 'none'}")
    profiles.write(place(), there)
    say(f"forgot profile {profile}")


@click.command("profiles", cls=Command)
def list_() -> None:
    """List the profiles that are kept here, never their credentials."""
    kept = sorted(profiles.read(place()).items())
    cells = [
        [name, each.organization or "-", each.authority, each.devices, "yes" if each.tls_ca else "no"] for name, each in kept
    ]
    Answers(Form.TABLE).rows(cells, ["name", "organization", "authority", "devices", "tls"])


def _asked() -> str:
    if sys.stdin.isatty():
        typed: str = click.prompt("token or API key", hide_input=True, err=True)
        return typed
    return sys.stdin.readline()


def _whose(organization: str) -> str:
    return f"a credential of {organization}" if organization else "a credential of no organisation"
