"""A console beside a pair that serves in the test's loop, and people who visit it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

import httpx

from consentry_console.app import ConsoleSettings, start
from support.pair import Pair, running_pair


@dataclass
class ServedConsole:
    """A console that serves, and the browsers of those who visit it."""

    address: str
    browsers: list[httpx.AsyncClient] = field(default_factory=list)


@asynccontextmanager
async def running_console(pair: Pair, **settings: Any) -> AsyncIterator[ServedConsole]:
    """A console on a free port."""
    console = await start(ConsoleSettings(listen="127.0.0.1:0", authority=pair.authority.address, **settings))
    served = ServedConsole(console.address)
    try:
        yield served
    finally:
        for browser in served.browsers:
            await browser.aclose()
        await console.stop()


@asynccontextmanager
async def pair_with_people(folder: Path) -> AsyncIterator[Pair]:
    """A pair with a partner, two customers that are connected to it (one valid), and a third that is not."""
    async with running_pair(folder) as pair:
        await pair.authority.partner("acme")
        await pair.authority.valid_customer("north", "acme")
        await pair.authority.customer("south")
        await pair.authority.connect("acme", "south")
        await pair.authority.customer("west")
        yield pair


class Visitor:
    """Somebody with a browser that has no scripts."""

    def __init__(self, console: ServedConsole, **headers: str) -> None:
        self.base = f"http://{console.address}"
        self.client = httpx.AsyncClient(base_url=self.base, headers=headers, timeout=30)
        console.browsers.append(self.client)

    async def sign_in(self, token: str) -> httpx.Response:
        """With a token, followed to the first page."""
        return await self.post("/sign-in", token=token)

    async def get(self, path: str) -> httpx.Response:
        """A page, redirections followed."""
        return await self.client.get(path, follow_redirects=True)

    async def post(self, path: str, *, page: str = "", **fields: Any) -> httpx.Response:
        """Send a form as the browser does, with the hidden fields of `page`; redirections followed."""
        hidden = hidden_fields((await self.get(page)).text, path) if page else {}
        return await self.client.post(path, data=hidden | fields, headers={"Origin": self.base}, follow_redirects=True)


def hidden_fields(html: str, action: str) -> dict[str, str]:
    """What a page's form to this address sends besides what a person enters."""
    form = re.search(rf'<form[^>]*action="{re.escape(action)}"[^>]*>(.*?)</form>', html, re.DOTALL)
    assert form is not None, (action, html)
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form[1])
    return {name: unescape(value) for name, value in found}
