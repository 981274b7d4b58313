"""Pages: sizes are coerced, tokens are authenticated and bound to the question and the one who asked it."""

import hashlib
import hmac

from consentry_core.values.encoding import base64url, from_base64url
from consentry_core.values.errors import InvalidArgument

_TAG_BYTES = 16


def page_size(requested: int, *, default: int = 100, maximum: int = 1000) -> int:
    """How many to return: 0 means `default`, more than `maximum` means `maximum`, fewer than 0 is refused."""
    if requested < 0:
        raise InvalidArgument("page_size", "must not be below 0; 0 asks for the default", reason="PAGE_SIZE_INVALID")
    return min(requested or default, maximum)


class PageTokens:
    """Makes and reads page tokens. A token carries the key of the last item served, and opens only for the same question."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, question: str, last: str) -> str:
        """The token for the page after `last`. `question` names method, caller and parameters."""
        payload = last.encode()
        return base64url(self._tag(question, payload) + payload)

    def read(self, question: str, token: str) -> str:
        """The `last` that the token was made with; empty for an empty token. InvalidArgument for a foreign or damaged one."""
        if not token:
            return ""
        data = from_base64url(token)
        if data is None or not hmac.compare_digest(data[:_TAG_BYTES], self._tag(question, data[_TAG_BYTES:])):
            raise InvalidArgument(
                "page_token",
                "must be the next_page_token of an answer to the same question; start again without one",
                reason="PAGE_TOKEN_INVALID",
            )
        return data[_TAG_BYTES:].decode()

    def _tag(self, question: str, payload: bytes) -> bytes:
        message = len(question).to_bytes(4) + question.encode() + payload
        return hashlib.blake2b(message, key=self._key, digest_size=_TAG_BYTES).digest()
