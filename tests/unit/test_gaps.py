"""P29: what `accept-gap` may give up, decided from what was measured."""

from __future__ import annotations

import pytest

from streambg.control.gaps import Gap, Ground, decide
from streambg.errors import Refused

# settled is 99, retention has taken the input up to 120, it ends at 500
GROUND = Ground(3, 99, 120, 500)


@pytest.mark.parametrize(
    ("first", "end", "expected"),
    [
        (None, None, Gap(3, 100, 120, 120)),
        (100, None, Gap(3, 100, 120, 120)),
        (None, 130, Gap(3, 100, 130, 120)),
        (None, 100, Gap(3, 100, 100, 120)),  # nothing is given up, every color scores anew
        (None, 500, Gap(3, 100, 500, 120)),
    ],
)
def test_P29_the_gap_begins_at_settled_plus_1(first: int | None, end: int | None, expected: Gap) -> None:
    assert decide(GROUND, first, end) == expected


def test_P29_dead_letters_are_counted_where_the_input_still_shows_events() -> None:
    assert decide(GROUND, None, None).dead_letters_at_most == 0
    assert decide(GROUND, None, 130).dead_letters_at_most == 10


@pytest.mark.parametrize(
    ("ground", "first", "end", "words"),
    [
        (GROUND, 99, None, "is settled already"),
        (GROUND, 101, None, "without an outcome"),
        (GROUND, None, 99, "ends between 100"),
        (GROUND, None, 501, "the input's end 500"),
        (Ground(3, 99, 100, 500), None, None, "nothing has to be given up"),
        (Ground(3, None, 0, 500), None, 9, "say what is settled"),
    ],
)
def test_P29_a_gap_that_would_skip_or_settle_again_is_refused(
    ground: Ground, first: int | None, end: int | None, words: str
) -> None:
    with pytest.raises(Refused, match=words) as raised:
        decide(ground, first, end)
    assert raised.value.way_out


def test_P29_where_nothing_says_what_is_settled_the_operator_does() -> None:
    assert decide(Ground(3, None, 0, 500), 40, 40) == Gap(3, 40, 40, 0)
