"""Which profiles an agent fits, from its answers to a few questions. No I/O."""

from collections.abc import Iterable, Iterator, Sequence

from consentry_gateway.profiles import PROFILES, Profile
from consentry_gateway.reading.raw import Answers, within

SYS_OBJECT_ID = "1.3.6.1.2.1.1.2.0"


def recognise(answers: Answers, *, source: str = "snmp", identity: str = SYS_OBJECT_ID) -> tuple[Profile, ...]:
    """The first profile that matches an agent, and those that fill what it lacks; none when none does.

    `identity`: the address of what an agent says it is, which for SNMP is its sysObjectID.
    """
    for profile in _of(source):
        if _fits(profile, answers, identity):
            return tuple(_with_others(profile, answers))
    return ()


def possible(answers: Answers, unread: Iterable[str]) -> tuple[Profile, ...]:
    """What an agent would be if it had all that could not be read: when that is what it is without, it is certain."""
    return recognise({**dict.fromkeys(unread, ""), **answers})


def questions(*, source: str = "snmp", identity: str = SYS_OBJECT_ID) -> tuple[str, ...]:
    """The addresses whose answers `recognise` needs."""
    probes = (probe for first in _of(source) for profile in _all(first) for probe in profile.probes)
    return tuple(dict.fromkeys([identity, *probes]))


def watched(
    profiles: Sequence[Profile], object_id: str, *, source: str = "snmp", identity: str = SYS_OBJECT_ID
) -> tuple[str, ...]:
    """The addresses whose answers show that an agent has become another one, or says more than before.

    They are few: its own probes, and those of the families of its maker that would go before it.
    """
    probes = [probe for profile in profiles for probe in profile.probes]
    for profile in _of(source):
        if profiles and profile is profiles[0]:
            probes += [probe for other in _all(profile) for probe in other.probes]
            break
        if _of_maker(profile, object_id):
            probes += profile.probes
    return tuple(dict.fromkeys([identity, *probes]))


def _of(source: str) -> Iterator[Profile]:
    return (profile for profile in PROFILES if profile.source == source)


def _all(profile: Profile) -> Iterator[Profile]:
    yield profile
    for other in profile.beside:
        yield from _all(other)


def _with_others(profile: Profile, answers: Answers) -> list[Profile]:
    found = [other for other in _all(profile) if other is profile or all(probe in answers for probe in other.probes)]
    return list({id(other): other for other in found}.values())


def _fits(profile: Profile, answers: Answers, identity: str) -> bool:
    return _of_maker(profile, str(answers.get(identity, ""))) and all(probe in answers for probe in profile.probes)


def _of_maker(profile: Profile, object_id: str) -> bool:
    return not profile.object_ids or any(within(object_id, prefix) for prefix in profile.object_ids)
