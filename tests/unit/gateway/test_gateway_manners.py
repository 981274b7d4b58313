"""What an agent is taken to bear: what was lost on the way is tried again soon, what it cannot ever more rarely."""

from consentry_gateway.sources.snmp.session import Manners


def polls_with_a_try(manners: Manners, polls: int, *, well: bool) -> list[int]:
    """The polls at which the agent was asked again for something that it does not answer."""
    tried = []
    for _ in range(polls):
        manners.polls += 1
        for oid in manners.due():
            manners.silenced(oid)
            tried.append(manners.polls)
        if well:
            manners.poll_went_well()
        else:
            manners.well = 0
    return tried


def test_what_always_silences_an_agent_is_tried_ever_more_rarely() -> None:
    manners = Manners()
    manners.silenced("1.3")
    assert polls_with_a_try(manners, 80, well=True) == [5, 10, 20, 40, 80]


def test_what_silences_it_in_bad_times_is_tried_soon_after_them() -> None:
    manners = Manners()
    manners.silenced("1.3")
    assert polls_with_a_try(manners, 22, well=False) == [5, 10, 15, 20]
