"""What ends a command that goes on until Ctrl-C."""

import contextlib
import signal
import threading

import pytest

from consentry_cli.commands.following import following


def test_an_interrupt_that_is_dropped_comes_again(capsys: pytest.CaptureFixture[str]) -> None:
    """As Python drops one that comes while an object is being finalised."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)
    waited_in_vain = False
    with following("--after-cursor") as follow:
        follow.position = "c1"
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        threading.Event().wait(10)
        waited_in_vain = True
    assert not waited_in_vain
    assert capsys.readouterr().err == "to go on from here: --after-cursor c1\n"
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
