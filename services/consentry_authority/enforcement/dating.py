"""What time it is, said with each lease when it goes out."""

from dataclasses import replace

from consentry_core.protocol.follow import FromAuthority, Lease
from consentry_core.values.clock import BootTime, Clock
from consentry_core.values.encoding import RandomBytes


class Dating:
    """Dates what one run of an authority says. The name of its clock is drawn at random: no two runs share one."""

    def __init__(self, clock: Clock, random: RandomBytes) -> None:
        self._clock = clock
        self._name = int.from_bytes(random(8)) | 1  # 0 is none

    def __call__(self, said: FromAuthority, asked: BootTime) -> FromAuthority:
        """The same; a lease with the clocks as they are, when the renewal that it answers was heard at `asked`.

        The boot clock comes first: an end may come early, and never late.
        """
        if not isinstance(said, Lease):
            return said
        boot = self._clock.boot()
        return replace(
            said,
            authority_time=self._clock.now(),
            authority_boot=boot,
            authority_clock=self._name,
            waited=max(boot - asked, 0),
        )
