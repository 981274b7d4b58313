"""A UDP proxy before an SNMP agent that behaves as bad ones do: it drops, answers with errors, and patches."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

GET, NEXT, RESPONSE, BULK = 0xA0, 0xA1, 0xA2, 0xA5
GEN_ERR, TOO_BIG = 5, 1

Answer = bytes | None
"""What the agent is said to answer: this, or nothing. `Pass` hands the question on."""


class Pass:
    """The question goes on to the agent."""


@dataclass(slots=True)
class Proxy:
    """`ask` decides about each question, `on` changes those that go on, `reply` each answer. Set them at any time."""

    port: int
    ask: Callable[[bytes], Answer | type[Pass]] = lambda _: Pass
    on: Callable[[bytes], bytes] = lambda question: question
    reply: Callable[[bytes], bytes] = lambda answer: answer
    asked: list[bytes] = field(default_factory=list)

    def swap(self, *pairs: tuple[bytes, bytes]) -> None:
        """Questions that say the first go on as the second, and answers come back the other way. Both are equally long."""

        def swapped(message: bytes, *, back: bool) -> bytes:
            for pair in pairs:
                message = message.replace(*(reversed(pair) if back else pair))
            return message

        self.on = lambda question: swapped(question, back=False)
        self.reply = lambda answer: swapped(answer, back=True)

    def count(self, kind: int) -> int:
        """How many questions of a kind came."""
        return sum(1 for question in self.asked if kind_of(question) == kind)


@asynccontextmanager
async def proxying(host: str, port: int, *, at: str = "127.0.0.1", port_at: int = 0) -> AsyncIterator[Proxy]:
    """A proxy before an agent, on a port of its own; 0: a free one."""
    loop = asyncio.get_running_loop()
    proxy = Proxy(0)

    class _Agent(asyncio.DatagramProtocol):
        def __init__(self, client: Any) -> None:
            self._client = client

        def datagram_received(self, data: bytes, _: Any) -> None:
            front.sendto(proxy.reply(data), self._client)

    class _Front(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, address: Any) -> None:
            proxy.asked.append(data)
            answer = proxy.ask(data)
            if isinstance(answer, bytes):
                front.sendto(answer, address)
            elif answer is Pass:
                tasks.add(asyncio.create_task(self._pass(data, address)))

        async def _pass(self, data: bytes, address: Any) -> None:
            if address not in behind:
                made, _ = await loop.create_datagram_endpoint(lambda: _Agent(address), remote_addr=(host, port))
                behind[address] = made
            behind[address].sendto(proxy.on(data))

    behind: dict[Any, asyncio.DatagramTransport] = {}
    tasks: set[asyncio.Task[None]] = set()
    front, _ = await loop.create_datagram_endpoint(_Front, local_addr=(at, port_at))
    proxy.port = front.get_extra_info("sockname")[1]
    try:
        yield proxy
    finally:
        front.close()
        for transport in behind.values():
            transport.close()
        await asyncio.gather(*tasks, return_exceptions=True)


def kind_of(message: bytes) -> int:
    """The tag of the PDU in a message of version 1 or 2c."""
    return message[_pdu(message)]


def variables(message: bytes) -> int:
    """How many objects a message asks for or tells."""
    place = _pdu(message)
    place = _content(message, place)
    for _ in range(3):
        place = _after(message, place)
    end, place, count = _after(message, place), _content(message, place), 0
    while place < end:
        place, count = _after(message, place), count + 1
    return count


def failing(message: bytes, status: int) -> bytes:
    """The answer to a question that says no more than that there was an error."""
    place = _pdu(message)
    request = _content(message, place)
    error = _after(message, request)
    changed = bytearray(message)
    changed[place] = RESPONSE
    if message[error + 1] == 1:
        changed[error + 2] = status
        changed[error + 5] = 0
    return bytes(changed)


def _pdu(message: bytes) -> int:
    return _after(message, _after(message, _content(message, 0)))


def _content(message: bytes, place: int) -> int:
    length = message[place + 1]
    return place + 2 + (length & 0x7F if length & 0x80 else 0)


def _after(message: bytes, place: int) -> int:
    length, start = message[place + 1], _content(message, place)
    if length & 0x80:
        length = int.from_bytes(message[place + 2 : start], "big")
    return start + length
