"""The story in a real browser: two people at once, the secret shown once, the receipt filling, keyboard, no scripts, axe."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from consentry.devices.v1 import telemetry_pb2, telemetry_pb2_grpc
from consentry_core.rpc.client.channels import bearer
from support.browsers import person, running_browser
from support.console import ServedConsole, pair_with_people, running_console
from support.pair import Pair

pytestmark = pytest.mark.slow


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with pair_with_people(tmp_path) as pair:
        yield pair


@pytest.fixture
async def console(pair: Pair) -> AsyncIterator[ServedConsole]:
    async with running_console(pair) as console:
        yield console


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with running_browser() as browser:
        yield browser


async def sign_in(page: Page, console: ServedConsole, token: str) -> None:
    await page.goto(f"http://{console.address}/")
    await page.get_by_label("Your token").fill(token)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()


async def test_a_customer_allows_a_partner_reads_and_the_customer_takes_it_back(
    pair: Pair, console: ServedConsole, browser: Browser
) -> None:
    async with person(browser) as south, person(browser) as acme:
        await sign_in(south, console, await pair.authority.admin("customers/south"))
        await sign_in(acme, console, await pair.authority.admin("partners/acme"))

        await acme.get_by_role("link", name="Customers").click()
        row = acme.get_by_role("row", name="customers/south")
        await expect(row).to_contain_text("it has not allowed API access")

        box = south.get_by_label("Allow API access to device data")
        await expect(box).not_to_be_checked()
        await box.check()
        await south.get_by_role("button", name="Save").click()
        await expect(south.get_by_role("heading", level=1)).to_be_visible()
        await south.goto(f"http://{console.address}/subscriptions")
        await expect(south.get_by_label("Allow API access to device data")).to_be_checked()
        await acme.reload()
        await expect(acme.get_by_role("row", name="customers/south")).to_contain_text("yes")

        secret = await create_key(acme, "All Customers", "Monitoring")
        gateway = await pair.gateway("south")
        await gateway.publish(load=[41.5])
        telemetry = telemetry_pb2_grpc.TelemetryServiceStub(pair.channel)
        latest = telemetry_pb2.QueryLatestRequest(parent="customers/south")
        answer = await telemetry.QueryLatest(latest, metadata=bearer(secret))
        assert [reading.value for reading in answer.readings] == [41.5]
        async with pair.watch(secret) as reader:
            await reader.until("synced")

            await south.get_by_label("Allow API access to device data").uncheck()
            await south.get_by_role("button", name="Save").click()
            await expect(south.get_by_role("heading", level=1)).to_have_text("Take the permission back from acme?")
            await south.get_by_role("button", name="Take it back").click()
            await expect(south.locator("#receipt")).to_contain_text("Enforced")  # without a reload
            await expect(south.locator("#receipt")).to_contain_text("Confirmed by")
            removed = await reader.until("customer_removed")
            assert removed.customer_removed.customer == "customers/south"

        await acme.get_by_role("link", name="Customers").click()
        await expect(acme.get_by_role("row", name="customers/south")).to_contain_text("it took API access back")


async def create_key(page: Page, kind: str, name: str) -> str:
    """A key, made in the dialog; its secret, as it was copied."""
    await page.get_by_role("link", name="API", exact=True).click()
    await page.get_by_role("link", name="Create a key").click()
    await page.get_by_label("Name, for people").fill(name)
    await page.get_by_label(kind).check()
    await page.get_by_role("button", name="Create").click()
    field = page.get_by_label("API key")
    await expect(page.get_by_text("It cannot be shown again")).to_be_visible()
    secret = await field.input_value()
    await page.get_by_role("button", name="Copy").click()
    await expect(page.get_by_text("Copied.")).to_be_visible()
    return secret


async def test_each_kind_of_key_and_a_secret_that_is_not_there_any_more(
    pair: Pair, console: ServedConsole, browser: Browser
) -> None:
    async with person(browser) as acme:
        await sign_in(acme, console, await pair.authority.admin("partners/acme"))
        demo = await create_key(acme, "Demo", "Trial")
        assert demo.startswith("ck_demo_")
        await acme.get_by_role("link", name="Back to the keys").click()
        await acme.go_back()  # to where the secret was
        await expect(acme.get_by_role("heading", level=1)).to_have_text(re.compile("Copy your key|This key cannot be shown"))
        assert demo not in await acme.content()
        assert demo not in await acme.evaluate("[...document.querySelectorAll('input')].map(each => each.value).join()")

        await acme.goto(f"http://{console.address}/api/new")
        await acme.get_by_label("Specific Customers").check()
        await acme.get_by_label("north").check()
        await acme.get_by_role("button", name="Create").dblclick()
        await expect(acme.get_by_role("heading", level=1)).to_have_text(
            re.compile("Copy your key|cannot be shown|^[a-z0-9]{16}$")
        )
        await acme.goto(f"http://{console.address}/api")
        await expect(acme.get_by_role("row", name="Specific Customers")).to_have_count(1)
        await expect(acme.get_by_role("row", name="Demo")).to_have_count(1)


async def test_it_works_with_the_keyboard_alone(pair: Pair, console: ServedConsole, browser: Browser) -> None:
    async with person(browser) as north:
        await north.goto(f"http://{console.address}/")
        await tab_to(north, "Your token")
        await north.keyboard.type(await pair.authority.admin("customers/north"))
        await north.keyboard.press("Enter")
        await expect(north.get_by_role("button", name="Sign out")).to_be_visible()
        await north.keyboard.press("Tab")
        await expect(north.get_by_text("Skip to the content")).to_be_focused()
        await tab_to(north, "Allow API access to device data")
        await north.keyboard.press("Space")
        await tab_to(north, "Save")
        await north.keyboard.press("Enter")
        await expect(north.get_by_role("heading", level=1)).to_have_text("Take the permission back from acme?")
        await tab_to(north, "Take it back")
        await north.keyboard.press("Enter")
        await expect(north.locator("#receipt")).to_contain_text("Enforced")


async def tab_to(page: Page, name: str) -> None:
    """Press Tab until the thing of this name has the focus."""
    told = "e => (e.labels?.[0]?.textContent || e.textContent || '').trim()"
    for _ in range(60):
        await page.keyboard.press("Tab")
        if await page.evaluate(f"({told})(document.activeElement)") == name:
            return
    pytest.fail(f"nobody comes to {name!r} by keyboard")


async def test_it_works_without_scripts(pair: Pair, console: ServedConsole, browser: Browser) -> None:
    async with person(browser, java_script_enabled=False) as north:
        await sign_in(north, console, await pair.authority.admin("customers/north"))
        await north.get_by_label("Allow API access to device data").uncheck()
        await north.get_by_role("button", name="Save").click()
        await north.get_by_role("button", name="Take it back").click()
        await expect(north.locator("#receipt")).to_contain_text("Enforced")  # the page reloads itself


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_on_any_page(pair: Pair, console: ServedConsole, browser: Browser, scheme: str) -> None:
    pages = {
        "customers/north": ["/subscriptions", "/history", "/readers"],
        "partners/acme": ["/api", "/api/new", "/customers", "/nothing-here"],
        "": ["/directory", "/enforcement"],
    }
    await pair.authority.key("acme", display_name="Monitoring")
    revision = (await pair.authority.revoke("north", "acme")).enforcement.revision
    pages["customers/north"].append(f"/receipts/{revision}")
    for organization, paths in pages.items():
        async with person(browser, color_scheme=scheme) as visitor:
            await visitor.goto(f"http://{console.address}/sign-in")
            await assert_accessible(visitor)
            token = await pair.authority.admin(organization) if organization else pair.authority.operator
            await sign_in(visitor, console, token)
            for path in paths:
                await visitor.goto(f"http://{console.address}{path}")
                if path != "/nothing-here":
                    await assert_accessible(visitor)


async def assert_accessible(page: Page) -> None:
    """No rule of WCAG 2.2 AA is broken that a program can check; nothing runs out of a small screen."""
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = await Axe().run(page, options={"runOnly": {"type": "tag", "values": tags}})
    assert found.violations_count == 0, (page.url, found.generate_report())
    size = page.viewport_size
    await page.set_viewport_size({"width": 320, "height": 640})
    assert await page.evaluate("document.documentElement.scrollWidth <= 320"), page.url
    assert size is not None
    await page.set_viewport_size(size)


async def test_a_danish_browser_gets_danish(pair: Pair, console: ServedConsole, browser: Browser) -> None:
    async with person(browser, locale="da-DK") as north:
        await north.goto(f"http://{console.address}/")
        await expect(north.get_by_role("heading", level=1)).to_have_text("Log ind")
        assert await north.evaluate("document.documentElement.lang") == "da"


async def test_times_are_the_readers_own_with_the_exact_one_on_hover(
    pair: Pair, console: ServedConsole, browser: Browser
) -> None:
    async with person(browser, timezone_id="Asia/Tokyo") as acme:
        await pair.authority.key("acme", display_name="Monitoring")
        await sign_in(acme, console, await pair.authority.admin("partners/acme"))
        time = acme.locator("time").first
        exact = await time.get_attribute("title")
        assert exact is not None
        hour = (int(exact[11:13]) + 9) % 24
        await expect(time).to_contain_text(f"{hour:02d}:{exact[14:16]}:{exact[17:19]}")


async def test_the_authority_goes_away_and_comes_back(tmp_path: Path, browser: Browser) -> None:
    async with pair_with_people(tmp_path) as pair, running_console(pair) as console, person(browser) as north:
        await sign_in(north, console, await pair.authority.admin("customers/north"))
        await pair.authority.authority.stop()
        await north.reload()
        await expect(north.get_by_role("heading", level=1)).to_have_text("The platform is away at the moment")
        await asyncio.sleep(0)
