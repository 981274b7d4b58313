"""The demo customer's fleet, made up: it lives by its own clock, and has a power failure now and then."""

from consentry_gateway.simulator.simulation import Simulation

__all__ = ["Simulation"]
