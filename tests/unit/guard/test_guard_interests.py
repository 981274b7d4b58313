"""What a guard follows is bounded; what it lets go of is unusable until it is told anew."""

from consentry_core.protocol.follow import Credential, Facts, Forget, Interest, Lease, Revision
from consentry_core.protocol.marks import MarkedKey, MarkedStanding
from consentry_core.values.clock import SECOND, BootTime
from consentry_guard.follow.interests import Interests
from consentry_rule import CustomerId, Instant, KeyKind, PartnerId
from support.followers import Follower

ACME, NORTH = PartnerId("acme"), CustomerId("north")
KEY, STANDING, PARTNER = "partners/acme/keys/k1", "customers/north/consents/acme", "partners/acme"
KEY_FACTS = MarkedKey(KeyKind.ALL_CUSTOMERS, ACME)


def test_a_name_is_kept_while_it_is_used_and_for_a_while_after() -> None:
    interests = Interests(idle=2)
    interests.take_up(["a", "a", "b"])
    assert interests.put_down(["a"]) == [], "it is used once more"
    assert interests.put_down(["a", "b"]) == []
    interests.take_up(["c"])
    assert interests.put_down(["c"]) == ["a"], "the one that was put down first goes"
    interests.take_up(["b"])
    interests.take_up(["d", "e"])
    assert interests.put_down(["d", "e"]) == ["c"], "b is in use again"


def following() -> Follower:
    follower = Follower("incarnation", "devices")
    follower.want([KEY, STANDING])
    follower.connected(BootTime(0))
    follower.received(Facts(Revision("e", 5)))
    open_standing = MarkedStanding(ACME, NORTH, connected=True)
    follower.received(Facts(Revision("e", 5), 1, credentials=(Credential(KEY, KEY_FACTS),), standings=(open_standing,)))
    follower.received(Lease(BootTime(0), Revision("e", 5), 5 * SECOND, Instant(0)))
    assert follower.knows(KEY)
    return follower


def test_what_is_forgotten_is_unusable_at_once() -> None:
    follower = following()
    assert follower.forget([KEY, STANDING, "tokens/never-wanted"]) == [Forget((KEY, STANDING))]
    assert not follower.knows(KEY)
    assert follower.credential(KEY) is None
    assert follower.standing(ACME, NORTH) is None


def test_what_still_comes_of_it_is_not_applied() -> None:
    """A change that was on its way, or a snapshot that was asked for before: neither makes it known again."""
    follower = following()
    follower.forget([KEY])
    assert follower.want([KEY]) == [Interest(2, (KEY,))]
    follower.forget([KEY])
    assert follower.want([KEY]) == [Interest(3, (KEY,))]
    follower.received(Facts(Revision("e", 6), 2, credentials=(Credential(KEY, KEY_FACTS),)))
    assert not follower.knows(KEY), "between its answer and the third wish, a change may not have been told"
    follower.received(Facts(Revision("e", 7), 3, credentials=(Credential(KEY, None),)))
    assert follower.knows(KEY)
    assert follower.credential(KEY) is None


def test_one_standing_stays_when_all_of_its_partner_are_forgotten() -> None:
    follower = following()
    follower.want([PARTNER])
    follower.received(
        Facts(Revision("e", 5), 2, standings=(MarkedStanding(ACME, NORTH), MarkedStanding(ACME, CustomerId("south"))))
    )
    follower.forget([PARTNER])
    assert [standing.customer for standing in follower.standings_of(ACME).values()] == [NORTH]
