"""How long a process waits between two sessions."""

from __future__ import annotations

from streambg.process.pauses import FIRST_S, LONGEST_S, Pauses


def test_sessions_that_end_at_once_are_begun_ever_more_slowly_up_to_a_limit() -> None:
    pauses = Pauses()
    found = [pauses.after(0.1) for _ in range(10)]
    assert found[:4] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S]
    assert found[-1] == LONGEST_S


def test_a_session_that_worked_for_a_while_is_followed_at_once() -> None:
    """Also by another one that does: a link that breaks every few seconds costs no pauses to speak of."""
    pauses = Pauses()
    for _ in range(10):
        pauses.after(0.1)
    assert pauses.after(LONGEST_S) == LONGEST_S, "not yet"
    assert [pauses.after(LONGEST_S + 0.1) for _ in range(3)] == [FIRST_S] * 3
    assert pauses.after(0.1) == 2 * FIRST_S
