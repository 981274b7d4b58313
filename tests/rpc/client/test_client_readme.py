"""What the client's README shows works, run as a program of its own against a real pair."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

import consentry_client
from consentry.authority.v1 import keys_pb2
from support.pair import Pair, running_pair

README = Path(consentry_client.__file__).with_name("README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


async def _run(program: str, pair: Pair, secret: str, key_over_a_list: str) -> str:
    settings = {
        "CONSENTRY_KEY_NAME": key_over_a_list,
        "CONSENTRY_TOKEN": secret,
        "CONSENTRY_AUTHORITY": pair.authority.address,
        "CONSENTRY_DEVICES": pair.devices.address,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", program, env=os.environ | settings,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def test_every_block_runs(tmp_path: Path) -> None:
    async with running_pair(tmp_path) as pair:
        await pair.authority.partner("acme")
        await pair.authority.valid_customer("north", "acme")
        key = await pair.authority.key("acme")
        north = await pair.gateway("north")
        await north.publish(load=[41.5, 42.0])
        admin = await pair.authority.admin("customers/north")
        listed = await pair.authority.key("acme", keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS, ["north"])
        by_call = {"client.accesses": admin, "client.add_key_customers": await pair.authority.admin("partners/acme")}
        secrets = [next((by_call[call] for call in by_call if call in block), key.secret) for block in BLOCKS]
        runs = (_run(block, pair, secret, listed.name) for block, secret in zip(BLOCKS, secrets, strict=True))
        outputs = await asyncio.gather(*runs)
    with_asyncio, without, in_steps, simulated, resuming, sampled, errors, quotas, customer, administrator, over_tls = outputs
    assert "covered: customers/north" in with_asyncio
    assert re.search(r"customers/north/devices/\S+/sensors/load 42\.0", with_asyncio)
    assert "customers/north/devices/" in without
    assert re.search(r"^customers/north/devices/\S+ 2$", without, re.MULTILINE)
    assert re.search(r"customers/north/devices/\S+/sensors/load 41\.75 42\.0$", in_steps, re.MULTILINE)
    assert re.search(r"^customers/simulated/devices/\S+ \d+$", simulated, re.MULTILINE)
    assert resuming == ""
    assert "1 devices, 0 readings folded" in sampled
    assert "NOT_COVERED" in errors
    assert quotas == "1 readings; None\n"
    assert re.search(r"^\S+Z KIND_GRANTED partners/acme by tokens/", customer, re.MULTILINE)
    assert administrator == f"1 on the list of {listed.name}\n"
    assert "covered: customers/north" in over_tls, "in plaintext, as the variable is not set"


@pytest.mark.parametrize("name", re.findall(r"`([A-Z]\w+)`", README))
def test_every_name_is_there(name: str) -> None:
    assert hasattr(consentry_client, name)
