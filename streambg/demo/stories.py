"""The demo's stories of a rollout that decides by itself: what the candidate is, and how it must end. Pure data.

Measured on the Shuttle data, first 8,000 rows learnt, 12,000 others asked: the logistic regression is right on 99.6 %,
a Hoeffding tree that learnt 40 % wrong labels on 97.8 %, one that learnt swapped labels of shifted sensors on 99.3 %
before the shift and on 0.4 % after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from streambg.control.rollouts import Stage

Name = Literal["good", "bad", "drift", "silent"]
Learner = Literal["logistic", "tree", "noisy tree", "tree of both", "tree swapped after the shift"]


@dataclass(frozen=True, slots=True)
class Story:
    """live, candidate: how each learns. ends: the stage in which the rollout must end.

    shift_at: from this share of the stream on the first sensor reads 1,000 more; the stream waits there until the
    candidate is live. stops_at: in this step of the plan (from 0) the candidate's scorer is stopped. within_s: how long
    a step may go undecided, instead of what the pipeline file says.
    """

    name: Name
    words: str
    live: Learner
    candidate: Learner
    ends: Stage
    shift_at: float | None = None
    stops_at: int | None = None
    within_s: int | None = None


STORIES: Mapping[str, Story] = {
    story.name: story
    for story in (
        Story("good", "a better candidate: the plan alone promotes it", "tree", "logistic", Stage.WATCHING),
        Story(
            "bad",
            "the candidate learnt from 40 % wrong labels, it is 2 points worse: aborted",
            "logistic",
            "noisy tree",
            Stage.ABORTED,
        ),
        Story(
            "drift",
            "a sensor is shifted after the promote, and the candidate learnt it wrongly: rolled back",
            "tree of both",
            "tree swapped after the shift",
            Stage.ROLLED_BACK,
            shift_at=0.6,
        ),
        Story(
            "silent",
            "the candidate's scorer stands still at 10 %: nobody can know, so it is held",
            "tree",
            "logistic",
            Stage.HELD,
            stops_at=1,
            within_s=30,
        ),
    )
}
