"""Facts that are too large for one message of `Follow`, in several; a pair.

A key can have a hundred thousand customers on its list, and have had as many others. What belongs together is still applied
together: it is joined again before anybody looks at it, so the protocol knows nothing of it.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

from consentry.authority.v1 import enforcement_pb2

_LARGEST: Final = 600_000  # bytes, to which one unit is added at most
_AT_ONCE: Final = 5_000  # customers of a list in one unit: some 300 kB

_Response: TypeAlias = enforcement_pb2.FollowResponse
_Credential: TypeAlias = enforcement_pb2.CredentialFacts


def split(response: _Response) -> Iterator[_Response]:
    """The message, in pieces when it is too large. All but the last say that the next goes on with them."""
    if response.ByteSize() <= _LARGEST:
        yield response
        return
    facts = response.facts
    piece = _piece_of(facts)
    size = 0
    units: list[enforcement_pb2.Standing | _Credential] = [*facts.standings, *_units(facts)]
    for unit in units:
        if size > _LARGEST:
            piece.facts.continues = True
            yield piece
            piece = _piece_of(facts)
            size = 0
        if isinstance(unit, _Credential):
            piece.facts.credentials.append(unit)
        else:
            piece.facts.standings.append(unit)
        size += unit.ByteSize()
    yield piece


def _piece_of(facts: _Response.Facts) -> _Response:
    return _Response(facts=_Response.Facts(revision=facts.revision, interest=facts.interest, more=facts.more))


def _units(facts: _Response.Facts) -> Iterator[_Credential]:
    for credential in facts.credentials:
        if len(credential.customers) + len(credential.unlisted) <= _AT_ONCE:
            yield credential
            continue
        first = _Credential()
        first.CopyFrom(credential)
        del first.customers[_AT_ONCE:], first.listed_numbers[_AT_ONCE:], first.unlisted[:]
        yield first
        for start in range(_AT_ONCE, len(credential.customers), _AT_ONCE):
            end = start + _AT_ONCE
            customers, numbers = credential.customers[start:end], credential.listed_numbers[start:end]
            yield _Credential(name=credential.name, customers=customers, listed_numbers=numbers)
        for start in range(0, len(credential.unlisted), _AT_ONCE):
            yield _Credential(name=credential.name, unlisted=credential.unlisted[start : start + _AT_ONCE])


class Joining:
    """Puts the messages of one stream together again."""

    def __init__(self) -> None:
        self._begun: _Response | None = None

    def take(self, response: _Response) -> _Response | None:
        """The next message; what it is the end of, or None when there is more to come."""
        begun = self._begun
        if begun is None:
            self._begun = response if response.facts.continues else None
            return None if response.facts.continues else response
        begun.facts.standings.extend(response.facts.standings)
        begun.facts.credentials.extend(response.facts.credentials)
        if response.facts.continues:
            return None
        self._begun = None
        whole = _piece_of(begun.facts)
        whole.facts.standings.extend(begun.facts.standings)
        for credential in begun.facts.credentials:
            if whole.facts.credentials and whole.facts.credentials[-1].name == credential.name:
                whole.facts.credentials[-1].MergeFrom(credential)
            else:
                whole.facts.credentials.append(credential)
        return whole
