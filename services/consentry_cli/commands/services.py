"""Running the services. Their settings are read without what the services need; that is imported when they are to run."""

from datetime import UTC, datetime
from pathlib import Path

import click

from consentry_authority.settings import AuthoritySettings
from consentry_cli.helping import Command, Group
from consentry_cli.lazy import LazyGroup, load
from consentry_cli.output import say
from consentry_console.settings import ConsoleSettings
from consentry_core.process.settings import SettingError, options
from consentry_core.sql.backups import MANIFEST, check_copied, new_backup
from consentry_devices.settings import DevicesSettings
from consentry_gateway.settings import CollectSettings, SimulateSettings

DEVICES_FILE = "devices.db"  # the same as consentry_devices.storage.store.FILE, which needs what a CLI may not have


@click.command(cls=Command)
@options(AuthoritySettings)
def init(settings: AuthoritySettings) -> None:
    """Prepare the data folder.

    Database, checksum key, audit key, the operator's token, tokens for the services. Done again, it adds what is missing.
    """
    file = load("consentry_authority.app:initialize", "authority")(settings)
    say(f"{settings.data_dir} is ready. The operator's token is in a file that only you can read:")
    say(f"  export CONSENTRY_TOKEN_FILE={file}")


@click.command(cls=Command)
@options(AuthoritySettings)
def authority(settings: AuthoritySettings) -> None:
    """Run the authority: keys, consents, coverage."""
    load("consentry_authority.app:run", "authority")(settings)


@click.group(cls=Group, invoke_without_command=True)
@options(DevicesSettings)
@click.pass_context
def devices(context: click.Context, settings: DevicesSettings) -> None:
    """Run the device-data service.

    Takes data in from gateways, hands it to partners as far as customers let it.
    """
    if context.invoked_subcommand is None:
        load("consentry_devices.app:run", "devices")(settings)


@devices.command()
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path(".consentry"),
    envvar="CONSENTRY_DATA_DIR",
    show_default=True,
    help="The service's folder.",
)
def verify(data_dir: Path) -> None:
    """Look through all that the device-data service has stored for what is no longer what was written.

    Each finding is named. Exit code 1 when there are any. The service may run meanwhile; it does not hand out what is damaged,
    whether this was run or not.
    """
    found = load("consentry_devices.storage.verifying:verify", "devices")(data_dir)
    for problem in found.problems:
        say(problem, err=True)
    if found.without:
        say(f"{found.without} rows are older than checksums: of them nothing is known", err=True)
    if found.problems:
        say(f"not everything is as it was written: {len(found.problems)} findings", err=True)
        raise click.exceptions.Exit(1)
    say(f"everything is as it was written: {found.checked} rows")


@click.command(cls=Command)
@options(ConsoleSettings)
def console(settings: ConsoleSettings) -> None:
    """Run the console: the web pages for consent and API keys."""
    load("consentry_console.app:run", "console")(settings)


@click.command(cls=Command)
@options(AuthoritySettings)
def migrate(settings: AuthoritySettings) -> None:
    """Update the authority's database.

    To the newest schema. The device-data service does that by itself when it starts.
    """
    load("consentry_authority.app:migrate_database", "authority")(settings)
    say(f"{settings.database_file} has the newest schema")


@click.command(cls=Command)
@options(AuthoritySettings)
def restored(settings: AuthoritySettings) -> None:
    """Begin a new epoch after a backup was put back.

    Before the services are started on it: guards and readers then take nothing over from the history that was lost. With the
    backup's manifest beside the files they are compared with it first; it is removed afterwards.
    """
    check_copied(settings.data_dir)
    found = _databases(settings)
    if settings.database_file in found or not found:
        load("consentry_authority.app:restored", "authority")(settings)
        say(f"{settings.database_file} begins a new epoch")
    devices_file = settings.data_dir / DEVICES_FILE
    if devices_file in found:
        load("consentry_devices.storage.backup:restored", "devices")(settings.data_dir)
        say(f"{devices_file} goes on from where it is")
    (settings.data_dir / MANIFEST).unlink(missing_ok=True)  # from here on the files are no copies any more


@click.command(cls=Command)
@click.argument("destination", type=click.Path(path_type=Path))
@options(AuthoritySettings)
def backup(settings: AuthoritySettings, destination: Path) -> None:
    """Copy what is in the data folder into a new folder.

    While the services run: the databases of the authority and of the device-data service, whichever are there, with the
    authority's key files and a manifest. No token is in it. What is put back begins with `consentry restored`.
    """
    found = _databases(settings)
    if not found:
        raise SettingError(f"there is no database in {settings.data_dir}; name the data folder with --data-dir")
    time = datetime.now(UTC).isoformat(timespec="seconds")
    with new_backup(destination, time) as made:
        if settings.database_file in found:
            load("consentry_authority.setup.backup:back_up", "authority")(settings, made, time)
        if settings.data_dir / DEVICES_FILE in found:
            load("consentry_devices.storage.backup:back_up", "devices")(settings.data_dir, made)
    say(f"{destination} holds {', '.join(file.name for file in found)} as of {time}")


def _databases(settings: AuthoritySettings) -> list[Path]:
    return [file for file in (settings.database_file, settings.data_dir / DEVICES_FILE) if file.exists()]


@click.command("rotate-checksum-key", cls=Command)
@options(AuthoritySettings)
def rotate_checksum_key(settings: AuthoritySettings) -> None:
    """Make new secrets with a new checksum key.

    From the authority's next start on. The former keys stay in the file: take a line out once no live secret names it; the
    authority does not start when one is missing that is still needed.
    """
    file = load("consentry_authority.app:rotate_checksum_key", "authority")(settings)
    say(f"{file} begins with a new key; start the authority again")


@click.group(
    cls=LazyGroup,
    lazy={
        "discover": "consentry_cli.commands.agents:discover",
        "try": "consentry_cli.commands.agents:try_",
        "record": "consentry_cli.commands.agents:record",
        "replay": "consentry_gateway.__main__:replay",
    },
    extras={"replay": "demo"},
)
def gateway() -> None:
    """Run a gateway, or look at agents.

    A gateway publishes device data, collected or made up.
    """


@gateway.command()
@options(CollectSettings)
def collect(settings: CollectSettings) -> None:
    """Collect from the SNMP agents of a file, and publish."""
    load("consentry_gateway.app:run", "gateway")(settings)


@gateway.command()
@options(SimulateSettings)
def simulate(settings: SimulateSettings) -> None:
    """Make the demo customer's fleet up, and publish it."""
    load("consentry_gateway.app:run", "gateway")(settings)
