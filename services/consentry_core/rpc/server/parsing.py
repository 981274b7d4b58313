"""Messages as they come in, parsed behind the gate, so that a malformed one is refused with an error of ours."""

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from google.protobuf.message import DecodeError

from consentry_core.values import errors

_T = TypeVar("_T")


def parsed(raw: bytes, parse: Callable[[bytes], _T]) -> _T:
    """The message. InvalidArgument when it is none of its type."""
    try:
        return parse(raw)
    except DecodeError as error:
        raise errors.InvalidArgument(
            "", "the request is not a well-formed message of this method's request type", reason="MESSAGE_MALFORMED"
        ) from error


async def parsed_stream(raw: AsyncIterator[bytes], parse: Callable[[bytes], _T]) -> AsyncIterator[_T]:
    """The messages, each parsed when it is asked for."""
    async for message in raw:
        yield parsed(message, parse)
