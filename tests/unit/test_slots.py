"""Which slot a member takes."""

from __future__ import annotations

import pytest

from streambg.errors import ConfigError
from streambg.process.slots import Slots, said


def test_a_slot_is_a_number_an_ordinal_or_any() -> None:
    assert said("3") == 3
    assert said("ordinal", "fraud-publisher-12") == 12
    assert said("free") is None


@pytest.mark.parametrize(("word", "host"), [("-1", ""), ("one", ""), ("", ""), ("ordinal", "laptop"), ("ordinal", "")])
def test_what_is_no_slot_says_what_is(word: str, host: str) -> None:
    with pytest.raises(ConfigError) as raised:
        said(word, host)
    assert "number" in raised.value.way_out


def test_the_lowest_slot_that_nobody_has() -> None:
    publishers = Slots("g", "p.{}".format, 2)
    assert publishers.free({"q.0"}) == 0
    assert publishers.free({"p.0", "p.7"}) == 1
    assert publishers.free({"p.1", "p.0"}) is None
    assert Slots("g", "s.{}".format).free({"s.0", "s.1", "s.2"}) == 3
