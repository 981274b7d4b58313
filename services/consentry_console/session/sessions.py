"""Sessions, kept in memory: whose token it is, and when it ends.

1. A session is found by 256 random bits, which only the browser has; here it lies under their hash.
2. It ends when nobody uses it for a while, after a day's work at the latest, and never later than the token it stands for.
3. Signing in makes a new one always, and drops the one that the browser came with.
4. There are so many at most; whoever used theirs longest ago is signed out for somebody new.
"""

import hashlib
import hmac
from collections import OrderedDict
from dataclasses import dataclass, field

from consentry_core.values.clock import SECOND, Clock
from consentry_core.values.encoding import RandomBytes, base64url
from consentry_rule import Instant


@dataclass(frozen=True, slots=True)
class Person:
    """Who is signed in, as the authority says: a token's name, role (`customer-admin`), organisation, and end."""

    name: str
    role: str
    organization: str
    expire_time: Instant | None = None


@dataclass(slots=True)
class Session:
    """One of them. `form_key` proves that a form came from a page of this session."""

    person: Person
    secret: str = field(repr=False)
    form_key: str = field(repr=False)
    began: Instant
    used: Instant
    shown_once: dict[str, str] = field(default_factory=dict, repr=False)
    """New secrets that wait to be shown, by the random part of the page's address. Each is taken out when it is shown."""

    def knows(self, form_key: str) -> bool:
        """Whether a form is from a page of this session."""
        return hmac.compare_digest(self.form_key.encode(), form_key.encode())


class Sessions:
    """All that are open. `idle`, `longest`: in seconds."""

    def __init__(self, clock: Clock, random: RandomBytes, *, idle: int, longest: int, most: int) -> None:
        self._clock = clock
        self._random = random
        self._idle = idle * SECOND
        self._longest = longest * SECOND
        self._most = most
        self._open: OrderedDict[bytes, Session] = OrderedDict()  # used longest ago first

    def begin(self, person: Person, secret: str, *, instead_of: str = "") -> str:
        """The new session's cookie."""
        self.end(instead_of)
        cookie, now = base64url(self._random(32)), self._clock.now()
        self._open[_place(cookie)] = Session(person, secret, base64url(self._random(32)), now, now)
        if len(self._open) > self._most:
            self._open.popitem(last=False)
        return cookie

    def find(self, cookie: str) -> Session | None:
        """The session of this cookie, used now; None when there is none, or it has ended."""
        place = _place(cookie)
        session = self._open.get(place)
        if session is None:
            return None
        now = self._clock.now()
        ended = now - session.used > self._idle or now - session.began > self._longest
        if ended or (session.person.expire_time is not None and now >= session.person.expire_time):
            del self._open[place]
            return None
        session.used = now
        self._open.move_to_end(place)
        return session

    def end(self, cookie: str) -> None:
        """Sign out, if it is there."""
        self._open.pop(_place(cookie), None)

    def end_all_of(self, secret: str) -> None:
        """Sign out wherever this token is signed in: it is refused, or was signed out everywhere."""
        for place in [place for place, session in self._open.items() if hmac.compare_digest(session.secret, secret)]:
            del self._open[place]

    def __len__(self) -> int:
        return len(self._open)


def _place(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()
