"""The `consentry` command in tests."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from click.testing import CliRunner, Result

from consentry_cli.cli import cli
from consentry_cli.profiles import VARIABLE
from support.pair import Pair


def consentry(*arguments: str, env: Mapping[str, str] | None = None, input: str | None = None) -> Result:  # noqa: A002
    """Run it in this process, with no setting but the given ones."""
    cleared: dict[str, str | None] = {name: None for name in os.environ if name.startswith("CONSENTRY_")}
    profiles = {VARIABLE: os.devnull + "/none"}
    return CliRunner().invoke(cli, arguments, env=cleared | profiles | dict(env or {}), prog_name="consentry", input=input)


class Shell:
    """Run it beside a pair that serves in the test's loop."""

    def __init__(self, pair: Pair, *, profiles: Path | None = None) -> None:
        self._services = {"CONSENTRY_AUTHORITY": pair.authority.address, "CONSENTRY_DEVICES": pair.devices.address}
        self._profiles = profiles

    async def run(self, token: str, *arguments: str) -> Result:
        """Whatever comes of it."""
        return await asyncio.to_thread(consentry, *arguments, env=self._services | {"CONSENTRY_TOKEN": token})

    async def bare(self, *arguments: str, input: str | None = None) -> Result:  # noqa: A002 - click's name
        """Without a variable but the one that says where profiles are."""
        env = {VARIABLE: str(self._profiles)}
        return await asyncio.to_thread(lambda: consentry(*arguments, env=env, input=input))

    async def output(self, token: str, *arguments: str) -> str:
        """Standard output of a command that succeeds."""
        result = await self.run(token, *arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    async def secret(self, token: str, *arguments: str) -> str:
        """What `SECRET=$(...)` holds."""
        return (await self.output(token, *arguments)).rstrip("\n")

    async def refusal(self, token: str, *arguments: str) -> str:
        """Standard error of a command that is refused."""
        result = await self.run(token, *arguments)
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        return result.stderr
