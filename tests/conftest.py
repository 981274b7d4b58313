"""Fixtures that tests of several folders share."""

from support.agents import recorded_agents

__all__ = ["recorded_agents"]
