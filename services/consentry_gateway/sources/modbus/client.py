"""A connection to a Modbus device: pymodbus's, with its errors in words.

It lasts for a poll: devices have few connections to give, and what one sends unasked costs nobody anything in between.
"""

import asyncio
import logging
import socket
from collections.abc import Sequence

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from consentry_gateway.sources.modbus.registers import Block
from consentry_gateway.sources.polling import AgentSilent

# What is wrong is said once, in our words; pymodbus says it at every poll.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

_REFUSED = {1, 2, 3}
_WORDS = {10: "its gateway has no way to unit {unit}", 11: "unit {unit} does not answer its gateway"}


class Refused(Exception):
    """The device has no such registers."""


class Unanswered(Exception):
    """The device has them, and cannot say now. The message says why."""


class Line:
    """One connection, made when it is needed. `timeout` in seconds, of each request; it is made again `retries` times."""

    def __init__(self, host: str, port: int, unit: int, timeout: float, retries: int) -> None:
        self._where = f"{host} port {port}"
        self._host, self._port, self._unit, self._timeout, self._retries = host, port, unit, timeout, retries
        self._client: AsyncModbusTcpClient | None = None

    async def read(self, block: Block) -> Sequence[int]:
        """The block's registers, or its bits. AgentSilent when there is no answer, Refused, Unanswered."""
        count = block.end - block.start
        try:
            client = await self._connected()
            ask = {
                "holding": client.read_holding_registers,
                "input": client.read_input_registers,
                "coil": client.read_coils,
                "discrete": client.read_discrete_inputs,
            }[block.table]
            answer = await ask(block.start, count=count, device_id=self._unit)
        except ModbusException as error:
            self.close()
            raise AgentSilent(
                f"no answer from {self._where}, unit {self._unit}: it is off, or does not speak Modbus"
            ) from error
        except BaseException:
            self.close()  # an answer may still be on its way
            raise
        if answer.isError():
            code = getattr(answer, "exception_code", 0)
            if code in _REFUSED:
                raise Refused
            if code in _WORDS:
                raise AgentSilent(f"{self._where}: {_WORDS[code].format(unit=self._unit)}")
            raise Unanswered(f"registers {block.start} to {block.end - 1}: exception {code}")
        values = answer.bits if block.table in {"coil", "discrete"} else answer.registers
        if len(values) < count or (block.table in {"holding", "input"} and len(values) != count):
            raise Unanswered(f"registers {block.start} to {block.end - 1}: {len(values)} came, and not {count}")
        return list(values[:count])

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _connected(self) -> AsyncModbusTcpClient:
        if self._client is not None and self._client.connected:
            return self._client
        self.close()
        client = AsyncModbusTcpClient(
            self._host, port=self._port, timeout=self._timeout, retries=self._retries, reconnect_delay=0
        )
        self._client = client
        if not await client.connect():
            raise AgentSilent(await self._why_not())
        return client

    async def _why_not(self) -> str:
        """Why there is no connection, which pymodbus does not tell."""
        try:
            async with asyncio.timeout(self._timeout):
                _, writer = await asyncio.open_connection(self._host, self._port)
        except socket.gaierror:
            return f"there is no address for {self._host}"
        except ConnectionRefusedError:
            return f"nobody listens at {self._where}"
        except OSError:  # a timeout is one
            return f"no answer from {self._where}: it is off or out of reach"
        writer.close()
        return f"{self._where} takes no more connections"
