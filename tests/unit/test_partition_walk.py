"""P14-P29: one partition of the publisher under every interleaving, judged by what it committed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from partition_judge import judge, judge_that_all_is_settled
from partition_walk import Op, World

# often what makes the way, now and then what crosses it
OFTEN = ["score", "score", "read", "read", "advance", "advance", "learn", "fold", "commit"]
NOW_AND_THEN = ["grow", "kill", "fire", "start_over", "zombie", "lose"]
COMMANDS = ["deploy", "shift", "shift", "promote", "rollback", "abort", "retire"]
# derived: a walk of 60 steps reaches a second promote; 150 walks take about 5 s on a slow core
WALKS = 150
STEPS = 60

steps: st.SearchStrategy[Op] = st.tuples(
    st.one_of(st.sampled_from(OFTEN), st.sampled_from(OFTEN), st.sampled_from(NOW_AND_THEN), st.sampled_from(COMMANDS)),
    st.integers(0, 9),
)
# publisher first, or the pipeline's first two deploys first
openings: st.SearchStrategy[list[Op]] = st.sampled_from(
    [[], [("grow", 9), ("deploy", 0), ("deploy", 1)], [("grow", 9), ("deploy", 0), ("deploy", 3), ("take_up", 0)]]
)


@settings(max_examples=WALKS, deadline=None)
@given(st.sampled_from([0, 3, 5]), openings, st.lists(steps, max_size=STEPS))
def test_P14_to_P29_exactly_one_outcome_per_event_by_the_color_the_rules_allow(
    gaps: int, opening: list[Op], walk: list[Op]
) -> None:
    """Scorers, zombies, commands, crashes, late colors and lost positions in any order; at the end all is settled."""
    world = World(gaps).do(opening).do(walk)
    judge(world)
    world.heal()
    judge(world)
    judge_that_all_is_settled(world)
