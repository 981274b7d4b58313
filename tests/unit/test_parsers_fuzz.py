"""The targets of `fuzz.targets`, with good inputs changed a little and with anything at all; `make fuzz` tries a million."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS


@st.composite
def _changed(draw: st.DrawFn, seed: bytes) -> bytes:
    """A good input, cut off, with bits or cases flipped, bytes written over, left out, put in or moved."""
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        end = draw(st.integers(at, len(data)))
        match draw(st.sampled_from(["bit", "case", "cut", "drop", "put", "repeat", "swap"])):
            case "bit" if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "case":
                data[at:end] = bytes(data[at:end]).swapcase()
            case "cut":
                del data[at:]
            case "drop":
                del data[at : at + 1]
            case "put":
                data[at:at] = draw(st.binary(min_size=1, max_size=4))
            case "repeat":
                data[at:end] = bytes(data[at:end]) * 2
            case _:
                data[:] = data[at:] + data[:at]
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_in_is_ours_or_refused_by_us(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=250, deadline=None)
    @given(
        st.one_of(
            st.sampled_from(target.seeds).flatmap(_changed), st.binary(max_size=200), st.text(max_size=60).map(str.encode)
        )
    )
    def fuzz(data: bytes) -> None:
        target.take(data)

    for seed in target.seeds:
        target.take(seed)
    fuzz()


def test_every_letter_of_a_secret_counts() -> None:
    """Each cut short, and each place with every bit flipped, the case among them."""
    target = TARGETS["secret"]
    for seed in target.seeds:
        for place in range(len(seed)):
            target.take(seed[:place])
            target.take(seed[place:])
            for bit in range(8):
                target.take(seed[:place] + bytes([seed[place] ^ 1 << bit]) + seed[place + 1 :])
        target.take(seed.upper())
        target.take(seed + b"\n")
