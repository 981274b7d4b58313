"""What stands on both sides of ingest in its tests: a log that commits what the test tells it to, and a gateway's frames."""

import asyncio
from collections.abc import AsyncIterator

from consentry_devices.domain.frames import Frame, StreamKey


class SlowAppender:
    """Commits only what the test tells it to."""

    def __init__(self) -> None:
        self.submitted: list[tuple[Frame, asyncio.Future[int]]] = []
        self.arrived = asyncio.Event()

    async def submit(self, stream: StreamKey, frame: Frame) -> asyncio.Future[int]:
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.submitted.append((frame, answer))
        self.arrived.set()
        return answer

    async def last_number(self, stream: StreamKey) -> int:
        return 0

    def commit(self, *numbers: int) -> None:
        for told, answer in self.submitted:
            if told.number in numbers:
                answer.set_result(told.number)


class Source:
    """Frames as fast as they are asked for."""

    def __init__(self, *frames: Frame) -> None:
        self.read = 0
        self._frames = frames

    async def __aiter__(self) -> AsyncIterator[Frame]:
        for each in self._frames:
            self.read += 1
            yield each
