"""Make them, into the folder that is named."""

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Page

from consentry.authority.v1 import keys_pb2
from consentry.devices.v1 import telemetry_pb2, telemetry_pb2_grpc
from consentry_core.rpc.client.channels import bearer
from support.browsers import person, running_browser
from support.console import pair_with_people, running_console
from support.pair import Pair

_SIZE = {"width": 1100, "height": 720}


async def main(folder: Path) -> None:
    """All of them, one after the other."""
    with tempfile.TemporaryDirectory(prefix="consentry-pictures-") as place:
        async with pair_with_people(Path(place)) as pair, running_console(pair) as console, running_browser() as browser:
            await _read_something(pair)
            base = f"http://{console.address}"
            async with person(browser, viewport=_SIZE) as acme:
                await _sign_in(acme, base, await pair.authority.admin("partners/acme"))
                await acme.goto(f"{base}/api")
                await acme.screenshot(path=folder / "api.png")
                await acme.goto(f"{base}/api/new")
                await acme.screenshot(path=folder / "new-key.png")
            async with person(browser, viewport=_SIZE) as north:
                await _sign_in(north, base, await pair.authority.admin("customers/north"))
                await north.screenshot(path=folder / "subscriptions.png")
                await north.goto(f"{base}/readers")
                await north.screenshot(path=folder / "readers.png")
                await north.goto(f"{base}/subscriptions")
                await north.get_by_label("Allow API access to device data").uncheck()
                await north.get_by_role("button", name="Save").click()
                await north.get_by_role("button", name="Take it back").click()
                await north.locator("#receipt .enforced").wait_for()
                await north.screenshot(path=folder / "receipt.png")


async def _sign_in(page: Page, base: str, token: str) -> None:
    await page.goto(base)
    await page.get_by_label("Your token").fill(token)
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("button", name="Sign out").wait_for()


async def _read_something(pair: Pair) -> None:
    """Keys of each kind, and one that has read."""
    gateway = await pair.gateway("north")
    await gateway.publish(load=[41.5, 42.0, 43.5])
    for kind, name, customers in (
        (keys_pb2.Key.KIND_DEMO, "Trial", []),
        (keys_pb2.Key.KIND_ALL_CUSTOMERS, "Monitoring", []),
        (keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS, "Reports", ["north"]),
    ):
        key = await pair.authority.key("acme", kind, customers, display_name=name)
        if kind == keys_pb2.Key.KIND_DEMO:
            continue
        latest = telemetry_pb2_grpc.TelemetryServiceStub(pair.channel).QueryLatest
        for _ in range(20):
            await latest(telemetry_pb2.QueryLatestRequest(parent="customers/north"), metadata=bearer(key.secret))
    async with pair.watch(key.secret) as reader:
        await reader.until("synced")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
