"""P14-P29: one partition of the publisher under every interleaving, judged by what it committed."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from partition_judge import judge, judge_that_all_is_settled
from partition_walk import Op, World

from streambg.publishing.partition import MAX_WAITING_ROWS

# often what makes the way, now and then what crosses it
WORK = ["flow", "flow", "publish", "score", "read", "advance", "learn", "fold", "commit", "grow"]
TROUBLE = ["kill", "fire", "fire", "start_over", "zombie", "lose"]
COMMANDS = ["deploy", "deploy", "shift", "shift", "promote", "rollback", "abort", "retire", "accept_gap"]
WALKS = 150
BEYOND = 3  # of the rows that one color is ahead, so that it is less than a walk's batches hold
STEPS = 100  # enough for a second promote on the way

names = st.sampled_from(WORK * 8 + TROUBLE * 2 + COMMANDS)
# of a drawn length: plain lists stay so short that nothing is published on the way
walks = st.integers(0, STEPS).flatmap(
    lambda length: st.lists(st.tuples(names, st.integers(0, 9)), min_size=length, max_size=length)
)
# mostly two colors that have answered something; sometimes the publisher stands there before the first deploy
TWO = [("grow", 9), ("deploy", 0), ("deploy", 1), ("learn", 8), ("learn", 9), ("flow", 8), ("flow", 9)]
openings: st.SearchStrategy[list[Op]] = st.sampled_from(
    [
        [],
        [*TWO, ("publish", 0)],
        [*TWO, ("shift", 2), ("publish", 9), ("flow", 1)],
        [*TWO, ("deploy", 3), ("shift", 3), ("kill", 0)],
        # a sampled candidate ahead of live
        [
            ("grow", 9),
            ("deploy", 0),
            ("deploy", 9),
            ("learn", 8),
            ("flow", 9),
            ("flow", 9),
            ("shift", 1),
            ("publish", 9),
        ],
        [*TWO, ("deploy", 9), ("learn", 9), ("flow", 9), ("shift", 3), ("publish", 9)],
        [*TWO, ("shift", 4), ("publish", 9), ("grow", 9), ("flow", 8), ("fire", 3)],
        [*TWO, ("promote", 0), ("publish", 9), ("grow", 9), ("flow", 8), ("fire", 3)],
        [*TWO, ("publish", 2), ("accept_gap", 5), ("publish", 9), ("shift", 2), ("flow", 8)],
    ]
)


@settings(max_examples=WALKS, deadline=None)
@example(  # positions deleted, and a hole that came after the log was taken up again is no loss (P27)
    0,
    4,
    [*TWO, ("promote", 0), ("publish", 9), ("grow", 9), ("flow", 8), ("fire", 3)],
    [("kill", 8), ("lose", 1), ("flow", 3)],
)
@given(st.sampled_from([0, 3, 5]), st.sampled_from([4, MAX_WAITING_ROWS]), openings, walks)
def test_P14_to_P29_exactly_one_outcome_per_event_by_the_color_the_rules_allow(
    gaps: int, room: int, opening: list[Op], walk: list[Op]
) -> None:
    """Scorers, zombies, commands, crashes, late colors and lost positions in any order; at the end all is settled.

    `room`: with the real limit no walk is long enough to pause a color (P20).
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streambg.publishing.partition.MAX_WAITING_ROWS", room)
        patch.setattr("streambg.publishing.answers.BEYOND", BEYOND)
        world = World(gaps).do(opening).do(walk)
        judge(world)
        world.heal()
        judge(world)
        judge_that_all_is_settled(world)
