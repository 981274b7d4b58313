"""`python -m consentry_devices`: the device-data service."""

import click

from consentry_core.process.settings import options
from consentry_devices.app import DevicesSettings, run


@click.command("devices")
@options(DevicesSettings)
def main(settings: DevicesSettings) -> None:
    """Serve device data: take it in from gateways, hand it to partners as far as customers let it."""
    run(settings)


if __name__ == "__main__":
    main()
