"""Looking at SNMP agents by hand, without publishing anything."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from consentry_cli.lazy import load
from consentry_cli.output import say
from consentry_core.process.settings import SettingError

_COMMANDS = "consentry_gateway.looking.commands"
_AGENTS = click.option("--agents", type=click.Path(path_type=Path), help="An agents file; HOST then is an id or a host in it.")

# How an agent is reached, by the fields of the agents file. Of secrets only where they stand: arguments show in process lists.
_FIELDS = {
    "version": "1, 2c or 3; 2c when left out.",
    "community_file": "File with the community; `public` is tried when none is named.",
    "community_env": "Environment variable with the community.",
    "user": "User of SNMPv3.",
    "auth": "sha, sha224, sha256, sha384 or sha512.",
    "auth_password_file": "File with the password of that.",
    "auth_password_env": "Environment variable with it.",
    "priv": "aes128, aes192, aes256, aes192c or aes256c.",
    "priv_password_file": "File with the password of that.",
    "priv_password_env": "Environment variable with it.",
    "context": "The context's name.",
}


def _access(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say how an agent is reached; the command gets them as `fields`."""

    def call(**values: Any) -> None:
        fields = {name: values.pop(name) for name in _FIELDS}
        command(fields={name: value for name, value in fields.items() if value}, **values)

    call.__name__, call.__doc__ = command.__name__, command.__doc__
    decorated: Callable[..., None] = call
    for name, told in reversed(_FIELDS.items()):
        flag = "--snmp-version" if name == "version" else f"--{name.replace('_', '-')}"
        decorated = click.option(flag, name, default="", help=told)(decorated)
    timeout = click.option(
        "--timeout", type=click.FloatRange(0.05, 60), default=2.0, show_default=True, help="Seconds to wait for each answer."
    )
    port = click.option("--port", type=click.IntRange(1, 65535), default=161, show_default=True, help="UDP port.")
    return port(timeout(decorated))


@click.command()
@click.argument("network")
@click.option(
    "--output", type=click.Path(path_type=Path), default=Path("agents.toml"), show_default=True, help="File to write."
)
@click.option(
    "--pace",
    type=click.FloatRange(1, 1_000),
    default=50.0,
    show_default=True,
    help="New addresses asked a second.",
)
@_access
def discover(network: str, output: Path, fields: dict[str, str], **how: Any) -> None:
    """Find the SNMP agents in a network.

    Asks each address of NETWORK (10.0.0.0/24, 2001:db8::/120; at most 4096) one question, says what answers, and writes an
    agents file with it.
    """
    load(f"{_COMMANDS}:run_discover", "gateway")(network, how.pop("port"), fields, output, **how, say=say)


@click.command("try")
@click.argument("host")
@_AGENTS
@_access
def try_(host: str, agents: Path | None, port: int, timeout: float, fields: dict[str, str]) -> None:
    """Show what would be published of an SNMP agent.

    With OID, raw value, scale and unit; and what would be left out, and why. Nothing is published.
    """
    load(f"{_COMMANDS}:run_try", "gateway")(_agent(host, port, fields, agents), timeout=timeout, say=say)


@click.command()
@click.argument("host")
@click.option("--output", type=click.Path(path_type=Path), help="File to write; HOST.snmprec when left out.")
@click.option("--most", type=click.IntRange(1, 1_000_000), default=50_000, show_default=True, help="How many values at most.")
@click.option("--pace", type=click.FloatRange(1, 1_000), default=20.0, show_default=True, help="How many questions a second.")
@_AGENTS
@_access
def record(host: str, agents: Path | None, port: int, output: Path | None, fields: dict[str, str], **how: Any) -> None:
    """Record what an SNMP agent says, to send it with a report.

    Without names, contacts and addresses, as far as they are known to be such. Read the file before you send it.
    """
    agent = _agent(host, port, fields, agents)
    file = output or Path(f"{host.replace(':', '-').replace('/', '-')}.snmprec")
    load(f"{_COMMANDS}:run_record", "gateway")(agent, file, **how, say=say)


def _agent(host: str, port: int, fields: dict[str, str], agents: Path | None) -> Any:
    if agents is not None and fields:
        raise SettingError("the agents file says how its agents are reached; leave the other options out")
    return load(f"{_COMMANDS}:agent_from", "gateway")(host, port, fields, agents)
