"""A row's checksum, made in two steps for neighbours that begin alike."""

import pytest

from consentry_devices.storage.checksums import begin_row, end_row, of_row


@pytest.mark.parametrize("rest", [("load", 5, 1.5, None), ("ö\udc80", -1, None, "on"), ("", 0, float("1e-7"), None)])
def test_a_checksum_made_in_two_steps_is_the_rows_checksum(rest: tuple[object, ...]) -> None:
    assert end_row(begin_row("north", "ups\0"), *rest) == of_row(("north", "ups\0", *rest))
