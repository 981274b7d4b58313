"""A real browser: the one that `CONSENTRY_BROWSER` names, else a chromium on the PATH, else Playwright's own.

There must be one: a test that needs it fails without, and says what to install.
"""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, async_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")


def found() -> str | None:
    """The browser to start; None for Playwright's own."""
    return os.environ.get("CONSENTRY_BROWSER") or next(filter(None, map(shutil.which, _NAMES)), None)


@asynccontextmanager
async def running_browser() -> AsyncIterator[Browser]:
    """One of them, without a window."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found(), args=list(_FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def person(browser: Browser, **options: Any) -> AsyncIterator[Page]:
    """Somebody with a browser profile of their own. Fails when a page's script did, or something was blocked."""
    context: BrowserContext = await browser.new_context(**({"locale": "en-GB"} | options))
    context.set_default_timeout(20_000)
    page = await context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    yield page
    await context.close()
    assert not [each for each in wrong if "status of" not in each], wrong
