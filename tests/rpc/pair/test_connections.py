"""What one connection may do, and for how long; and that nobody works for a caller who has stopped waiting."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from consentry.authority.v1 import directory_pb2, directory_pb2_grpc, enforcement_pb2, enforcement_pb2_grpc
from consentry.devices.v1 import feed_pb2, feed_pb2_grpc, gateway_pb2_grpc, inventory_pb2, inventory_pb2_grpc
from consentry_client import AsyncClient, Telemetry
from consentry_core.callers.identity import Identity
from consentry_core.protocol.follow import Revision
from consentry_core.rpc.client.channels import bearer, open_channel
from consentry_core.rpc.server.doorkeeper import MAX_METADATA_BYTES
from consentry_core.rpc.server.serving import MAX_MESSAGE_BYTES
from consentry_devices.app import DevicesSettings
from consentry_devices.app import start as start_devices
from consentry_guard.follow.verifying import Verifications
from consentry_guard.rpc.authority import Verified
from support.authority import running_authority
from support.pair import PATIENCE, Pair, Reader, running_pair

YOUNG = {"connection_age": 0.3, "connection_grace": 0.2}
HELLO = enforcement_pb2.FollowRequest(hello=enforcement_pb2.FollowRequest.Hello(incarnation="a" * 24))


async def test_an_aged_connections_stream_is_resumed_and_nothing_is_lost_or_repeated(tmp_path: Path) -> None:
    async with running_pair(tmp_path, of_devices=YOUNG) as pair, asyncio.timeout(3 * PATIENCE):
        await pair.authority.partner("acme")
        await pair.authority.valid_customer("north", "acme")
        key = await pair.authority.key("acme")
        await _publish(pair, 1.0)
        values: list[float | str] = []
        async with AsyncClient(devices=pair.devices.address, secret=key.secret) as client:
            async for event in client.watch():
                if not isinstance(event, Telemetry):
                    continue
                values += [reading.value for reading in event.readings()]
                if len(values) == 4:
                    break
                # The next one only once a connection that is younger than this one has come of age.
                async with open_channel(pair.devices.address) as channel:
                    call = feed_pb2_grpc.FeedServiceStub(channel).Watch(feed_pb2.WatchRequest(), metadata=bearer(key.secret))
                    assert (await Reader(call).error()).code() is grpc.StatusCode.UNAVAILABLE
                await _publish(pair, len(values) + 1.0)
        assert values == [1.0, 2.0, 3.0, 4.0]


async def _publish(pair: Pair, value: float) -> None:
    """Over a connection of its own: any other may have come of age."""
    async with open_channel(pair.devices.address) as channel:
        pair.publishing = gateway_pb2_grpc.GatewayServiceStub(channel)
        await (await pair.gateway("north")).publish(load=[value])


async def test_a_guard_whose_connection_comes_of_age_goes_on_serving(tmp_path: Path) -> None:
    async with running_pair(tmp_path, of_authority=YOUNG) as pair, asyncio.timeout(2 * PATIENCE):
        listing = inventory_pb2.ListDevicesRequest(parent="customers/demo")
        metadata = bearer(pair.authority.gateway)
        for _ in range(3):
            async with open_channel(pair.authority.address) as channel:
                stub = enforcement_pb2_grpc.EnforcementServiceStub(channel)
                follow: Any = stub.Follow(metadata=bearer(pair.authority.service))
                await follow.write(HELLO)
                assert (await Reader(follow).error()).code() is grpc.StatusCode.UNAVAILABLE
            # The guard's has come of age as well.
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await pair.inventory.ListDevices(listing, metadata=metadata)
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED, "known, and not allowed: there is a lease"


async def test_metadata_and_messages_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    async with running_authority(tmp_path) as authority:
        stub, operator = directory_pb2_grpc.DirectoryServiceStub(authority.channel), authority.operator
        listing = directory_pb2.ListPartnersRequest()
        for size, code in ((MAX_METADATA_BYTES // 2, None), (2 * MAX_METADATA_BYTES, grpc.StatusCode.RESOURCE_EXHAUSTED)):
            metadata = (*bearer(operator), ("x-filler", "x" * size))
            if code is None:
                await stub.ListPartners(listing, metadata=metadata)
                continue
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.ListPartners(listing, metadata=metadata)
            assert caught.value.code() is code
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListPartners(
                directory_pb2.ListPartnersRequest(page_token="x" * MAX_MESSAGE_BYTES), metadata=bearer(operator)
            )
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await stub.ListPartners(listing, metadata=bearer(operator))


async def test_calls_beyond_what_a_connection_may_have_wait_for_one_to_end(tmp_path: Path) -> None:
    async with running_authority(tmp_path, connection_calls=1) as authority:
        listing, metadata = directory_pb2.ListPartnersRequest(), bearer(authority.operator)
        async with open_channel(authority.address) as channel, open_channel(authority.address) as other:
            follow: Any = enforcement_pb2_grpc.EnforcementServiceStub(channel).Follow(metadata=bearer(authority.service))
            await follow.write(HELLO)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await directory_pb2_grpc.DirectoryServiceStub(channel).ListPartners(listing, metadata=metadata, timeout=0.2)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            await directory_pb2_grpc.DirectoryServiceStub(other).ListPartners(listing, metadata=metadata, timeout=PATIENCE)
            follow.cancel()
            await directory_pb2_grpc.DirectoryServiceStub(channel).ListPartners(listing, metadata=metadata, timeout=PATIENCE)


# Deadlines


class SlowAuthority:
    """Never answers whose secret it is."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.left = asyncio.Event()

    async def verify_credential(self, _request: bytes, _context: Any) -> bytes:
        self.asked.set()
        try:
            await asyncio.Event().wait()
            raise AssertionError
        finally:
            self.left.set()


async def test_a_calls_deadline_ends_what_it_made_the_authority_do(tmp_path: Path) -> None:
    slow = SlowAuthority()
    server = grpc.aio.server()
    methods: dict[str, Any] = {"VerifyCredential": grpc.unary_unary_rpc_method_handler(slow.verify_credential)}
    server.add_registered_method_handlers("consentry.authority.v1.EnforcementService", methods)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    devices = await start_devices(
        DevicesSettings(listen="127.0.0.1:0", authority=f"127.0.0.1:{port}", token="x", data_dir=tmp_path)
    )
    try:
        async with open_channel(devices.address) as channel, asyncio.timeout(3.0):  # well below the guard's own patience
            stub = inventory_pb2_grpc.InventoryServiceStub(channel)
            request = inventory_pb2.ListDevicesRequest(parent="customers/demo")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.ListDevices(request, metadata=bearer("ck_made_up"), timeout=0.3)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert slow.asked.is_set()
            await slow.left.wait()
    finally:
        await devices.stop()
        await server.stop(None)


async def test_a_verification_lasts_as_long_as_somebody_waits_for_it() -> None:
    answer: asyncio.Future[Verified] = asyncio.get_running_loop().create_future()
    asked: list[str] = []

    async def verify(secret: str, peer: str) -> Verified:
        asked.append(peer)
        return await answer

    verifications = Verifications(verify)
    impatient, patient = (asyncio.create_task(verifications.ask("s", peer)) for peer in ("one", "two"))
    await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    verified = Verified(Identity("partners/acme/keys/k", "s1"), Revision("e", 1), b"proof")
    answer.set_result(verified)
    assert await patient == verified
    assert asked == ["one"]
