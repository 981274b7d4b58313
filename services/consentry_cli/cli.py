"""The command tree. What a command needs is imported when it is called: a partner's install has no database, no SNMP."""

from collections.abc import Iterator

import click

from consentry_cli.lazy import LazyGroup
from consentry_cli.output import say
from consentry_cli.profiles import VARIABLE
from consentry_core.process.settings import refuse_unknown

_SERVICES = {
    "demo": "consentry_cli.demo.command:demo",
    "init": "consentry_cli.commands.services:init",
    "authority": "consentry_cli.commands.services:authority",
    "devices": "consentry_cli.commands.services:devices",
    "gateway": "consentry_cli.commands.services:gateway",
    "console": "consentry_cli.commands.services:console",
    "migrate": "consentry_cli.commands.services:migrate",
    "backup": "consentry_cli.commands.services:backup",
    "restored": "consentry_cli.commands.services:restored",
    "rotate-checksum-key": "consentry_cli.commands.services:rotate_checksum_key",
    "audit": "consentry_cli.commands.audit:audit",
}
_NOUNS = {
    "login": "consentry_cli.commands.login:login",
    "logout": "consentry_cli.commands.login:logout",
    "profiles": "consentry_cli.commands.login:list_",
    "partners": "consentry_cli.commands.partners:partners",
    "customers": "consentry_cli.commands.customers:customers",
    "connections": "consentry_cli.commands.connections:connections",
    "consents": "consentry_cli.commands.consents:consents",
    "keys": "consentry_cli.commands.keys:keys",
    "tokens": "consentry_cli.commands.tokens:tokens",
    "whoami": "consentry_cli.commands.tokens:whoami",
    "enforcement": "consentry_cli.commands.enforcement:enforcement",
    "coverage": "consentry_cli.commands.coverage:coverage",
    "inventory": "consentry_cli.commands.inventory:inventory",
    "alarms": "consentry_cli.commands.alarms:alarms",
    "telemetry": "consentry_cli.commands.telemetry:telemetry",
    "watch": "consentry_cli.commands.watch:watch",
}


@click.group(
    cls=LazyGroup,
    lazy=_SERVICES | _NOUNS,
    extras={"demo": "demo"},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="consentry")
@click.pass_context
def cli(context: click.Context) -> None:
    """Consent-scoped API access to device data.

    The first eleven run the services, and look after them. The others call them: with a token (administration) or an API key
    (coverage and data), in the variable CONSENTRY_TOKEN, in a file (--token-file), or kept by `consentry login`. A secret is
    never an argument: arguments show in process lists.

    Exit codes: 0, done; 1, a service refused or could not be reached; 2, the command or a setting is wrong; 130, interrupted.
    """
    links = refuse_unknown({*known_variables(context.command, context), VARIABLE})
    if links and context.invoked_subcommand in _SERVICES:
        told = ", ".join(sorted(links))
        say(f"passed over, as Kubernetes' links to services: {told}; `enableServiceLinks: false` keeps them out", err=True)


def known_variables(command: click.Command, context: click.Context) -> set[str]:
    """Every environment variable that some command reads."""
    return set(_variables(command, context))


def _variables(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.params:
        if isinstance(parameter.envvar, str):
            yield parameter.envvar
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from _variables(below, context)
