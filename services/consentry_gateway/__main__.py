"""`python -m consentry_gateway collect|simulate|replay`."""

import signal
import threading

import click

from consentry_core.process.settings import options
from consentry_gateway.app import CollectSettings, SimulateSettings, run
from consentry_gateway.simulator import recorded


@click.group("gateway")
def main() -> None:
    """Publish device data: collected from agents, or made up for the demo customer."""


@main.command()
@options(CollectSettings)
def collect(settings: CollectSettings) -> None:
    """Collect from the agents of a file (SNMP, NUT, Modbus, Redfish), and publish."""
    run(settings)


@main.command()
@options(SimulateSettings)
def simulate(settings: SimulateSettings) -> None:
    """Make the demo customer's fleet up, and publish it."""
    run(settings)


@main.command()
@click.option("--port", type=int, default=1161, show_default=True, help="UDP port on the loopback interface")
@click.option(
    "--recording", "names", multiple=True, type=click.Choice(recorded.RECORDINGS), help="which; else those of the demo"
)
def replay(port: int, names: tuple[str, ...]) -> None:
    """Run SNMP agents that replay recordings of real devices, each under its name as community."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with recorded.replaying(names or recorded.DEMO, port=port) as agents:
        click.echo(f"SNMP agents answer at {recorded.HOST}:{agents.port} as {', '.join(agents.names)}")
        ended.wait()


if __name__ == "__main__":
    main()
