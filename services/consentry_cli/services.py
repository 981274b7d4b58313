"""Running the services. Their settings are read without what the services need; that is imported when they are to run."""

import click

from consentry_authority.settings import AuthoritySettings
from consentry_cli.lazy import LazyGroup, load
from consentry_cli.output import say
from consentry_core.settings import options
from consentry_devices.settings import DevicesSettings
from consentry_gateway.settings import CollectSettings, SimulateSettings


@click.command()
@options(AuthoritySettings)
def init(settings: AuthoritySettings) -> None:
    """Prepare the data folder.

    Database, checksum key, audit key, the operator's token, tokens for the services. Done again, it adds what is missing.
    """
    file = load("consentry_authority.app:initialize", "authority")(settings)
    say(f"{settings.data_dir} is ready. The operator's token is in a file that only you can read:")
    say(f"  export CONSENTRY_TOKEN_FILE={file}")


@click.command()
@options(AuthoritySettings)
def authority(settings: AuthoritySettings) -> None:
    """Run the authority: keys, consents, coverage."""
    load("consentry_authority.app:run", "authority")(settings)


@click.command()
@options(DevicesSettings)
def devices(settings: DevicesSettings) -> None:
    """Run the device-data service.

    Takes data in from gateways, hands it to partners as far as customers let it.
    """
    load("consentry_devices.app:run", "devices")(settings)


@click.command()
@options(AuthoritySettings)
def migrate(settings: AuthoritySettings) -> None:
    """Update the authority's database.

    To the newest schema. The device-data service does that by itself when it starts.
    """
    load("consentry_authority.app:migrate_database", "authority")(settings)
    say(f"{settings.database_file} has the newest schema")


@click.command()
@options(AuthoritySettings)
def restored(settings: AuthoritySettings) -> None:
    """Begin a new epoch after a backup was put back.

    Before the authority is started on it: guards and readers then take nothing over from the history that was lost.
    """
    load("consentry_authority.app:restored", "authority")(settings)
    say(f"{settings.database_file} begins a new epoch")


@click.command("rotate-checksum-key")
@options(AuthoritySettings)
def rotate_checksum_key(settings: AuthoritySettings) -> None:
    """Make new secrets with a new checksum key.

    From the authority's next start on. The former keys stay in the file: take a line out once no live secret names it; the
    authority does not start when one is missing that is still needed.
    """
    file = load("consentry_authority.app:rotate_checksum_key", "authority")(settings)
    say(f"{file} begins with a new key; start the authority again")


@click.group(cls=LazyGroup, lazy={"replay": "consentry_gateway.__main__:replay"}, extras={"replay": "demo"})
def gateway() -> None:
    """Run a gateway.

    Publishes device data, collected or made up.
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
