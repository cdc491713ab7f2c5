"""What happens to one event, given what is known of both sides' answers: P14-P17 as a table. Pure data."""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from streambg.records.outcome import Why

Side = Literal["live", "other"]
Bool = npt.NDArray[np.bool_]


class Act(IntEnum):
    """What happens to one row; the order is of no meaning."""

    WAIT_LIVE = 0
    WAIT_OTHER = 1
    LIVE = 2
    OTHER = 3
    DEAD = 4
    SKIP = 5  # not in the input (P9)


WHY_NAMES: tuple[Why, ...] = ("route", "absent", "error", "late")

# What is known of a side's answer to one event; live's may also be missing because it scored a sample then (P9).
UNKNOWN, OK, ERROR, MISSING, SAMPLED = range(5)
# A row's case as a number: other chosen or live (2), live's state (5), the other's state (4).
_LIVE = 4
_CHOSEN = 5 * _LIVE
_CASES = 2 * _CHOSEN


def case(wants: Bool, live: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Each row's case: the index into what `lookup` returns."""
    return wants * _CHOSEN + live * _LIVE + other


@lru_cache(maxsize=32)  # every combination there is: falls back or not, and which of four deadlines have fired
def lookup(may_fall_back: bool, late: frozenset[tuple[Side, str]]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    """P14-P17, line by line: (acts, whys) of all cases. The first line that fits a case decides it."""
    number = np.arange(_CASES)
    wants, live, other = number >= _CHOSEN, number % _CHOSEN // _LIVE, number % _LIVE
    live_ok, live_error, sampled = live == OK, live == ERROR, live == SAMPLED
    live_known, other_known = live != UNKNOWN, other != UNKNOWN
    other_ok, other_error, other_missing = other == OK, other == ERROR, other == MISSING
    late_live = ("live", "answer") in late
    late_live_error = late_live or ("live", "error") in late
    late_other = ("other", "answer") in late
    late_other_error = late_other or ("other", "error") in late
    chosen_live = ~wants

    def when(flag: bool) -> Bool:
        return np.full(_CASES, flag)

    lines: list[tuple[Bool, Act, int]] = [
        # in no row of a non-sample batch of live: not in the input (P9, P14)
        (live == MISSING, Act.SKIP, 0),
        # the chosen color answered
        (wants & other_ok, Act.OTHER, 0),
        (chosen_live & live_ok, Act.LIVE, 0),
        # candidate chosen, without an answer: live stands in, always (P16)
        (wants & other_missing & live_ok, Act.LIVE, 1),
        (wants & other_missing & live_error, Act.DEAD, 1),
        # candidate chosen, an error row (P17)
        (wants & other_error & live_ok, Act.LIVE, 2),
        (wants & other_error & (live_error | sampled), Act.DEAD, 2),
        (wants & other_error & ~live_known & when(late_live_error), Act.DEAD, 2),
        (wants & other_error & ~live_known, Act.WAIT_LIVE, 2),
        # candidate chosen, late (P18)
        (wants & ~other_known & when(late_other) & live_ok, Act.LIVE, 3),
        (wants & ~other_known & when(late_other) & live_error, Act.DEAD, 3),
        (wants & ~other_known & live_known, Act.WAIT_OTHER, 3),
        # live chosen, unanswered because it scored a sample then (P9)
        (chosen_live & sampled & when(not may_fall_back), Act.DEAD, 1),
        (chosen_live & sampled & other_ok, Act.OTHER, 1),
        (chosen_live & sampled & other_error, Act.DEAD, 1),
        (chosen_live & sampled, Act.WAIT_OTHER, 1),
        # live chosen, an error row: the other color only where P16 allows it
        (chosen_live & live_error & when(not may_fall_back), Act.DEAD, 2),
        (chosen_live & live_error & other_ok, Act.OTHER, 2),
        (chosen_live & live_error & (other_error | other_missing), Act.DEAD, 2),
        (chosen_live & live_error & when(late_other_error), Act.DEAD, 2),
        (chosen_live & live_error, Act.WAIT_OTHER, 2),
        # live chosen, late: only where a deadline is declared and P16 allows it
        (chosen_live & ~live_known & when(late_live and may_fall_back) & other_ok, Act.OTHER, 3),
        (chosen_live & ~live_known & when(late_live and may_fall_back) & other_error, Act.DEAD, 3),
    ]
    fits = [line for line, _, _ in lines]
    acts = np.select(fits, [np.int8(act) for _, act, _ in lines], np.int8(Act.WAIT_LIVE))
    whys = np.select(fits, [np.int8(why) for _, _, why in lines], np.int8(0))
    return acts.astype(np.int8), whys.astype(np.int8)
