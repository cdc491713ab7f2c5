"""What must hold of everything a partition's publisher committed, told by the logs alone (P8, P14-P19, P27)."""

from __future__ import annotations

from partition_walk import Published, World
from predictions import Told, key
from scoring_world import bucket_of

from streambg.control.state import ControlState
from streambg.records.outcome import GIVEN_UP, DeadLetter, Outcome
from streambg.records.source import COLORS, Color, other


def judge(world: World) -> None:
    """Raises AssertionError with the outcome that must not be."""
    outcomes = sorted([*world.output, *world.dead_letters], key=lambda published: published.offset)
    _judge_sequence(world, outcomes)
    _judge_cutovers(world, outcomes)
    for published in outcomes:
        state = world.history[published.outcome.epoch]
        assert state.epoch == published.outcome.epoch, f"{published} names a refused command"
        assert published.key == key(published.offset)
        if isinstance(published.outcome, Outcome):
            _judge_output(world, state, published, published.outcome)
        else:
            _judge_letter(world, state, published.outcome)


def judge_that_all_is_settled(world: World) -> None:
    last = max((offset for offset in range(_origin(world), world.end) if world.exists(offset)), default=-1)
    settled = max((c.position.settled for c in world.committed.values() if c.position), default=-1)
    assert settled >= last, f"stuck at {settled} of {last}: {world.partition.waiting}"
    for color, answers in world.partition.answers.items():
        if settled >= max((batch.upto for batch in world.scorers[color].written), default=-1):
            assert (answers.rows, answers.bytes, answers.waiting_batches) == (0, 0, 0)


def _origin(world: World) -> int:
    return world.log.fold.state.start_of(3)


def _judge_sequence(world: World, outcomes: list[Published]) -> None:
    """Exactly one outcome per event below settled, in order in each topic; epochs never go back."""
    for topic in (world.output, world.dead_letters):
        offsets = [published.offset for published in topic]
        assert offsets == sorted(offsets)
    settled = max((c.position.settled for c in world.committed.values() if c.position), default=None)
    if settled is not None:
        owed = [offset for offset in range(_origin(world), settled + 1) if world.exists(offset)]
        assert [published.offset for published in outcomes] == owed
    epochs = [published.outcome.epoch for published in outcomes]
    assert epochs == sorted(epochs)


def _judge_cutovers(world: World, outcomes: list[Published]) -> None:
    """P19: cutover of an epoch <= its offsets < the next cutover; P27: the first holds the origin."""
    epochs = [cutover.epoch for cutover in world.cutovers]
    assert epochs == sorted(set(epochs))
    assert [cutover.origin for cutover in world.cutovers] == [_origin(world), *[None] * len(epochs)][: len(epochs)]
    for published in outcomes:
        in_force = [cutover.epoch for cutover in world.cutovers if cutover.first <= published.offset]
        assert in_force[-1] == published.outcome.epoch


def _told(world: World, state: ControlState, color: Color) -> Told:
    deployment = state.slots[color]
    return world.scorers[color].told(deployment.id) if deployment else Told()


def _chosen(state: ControlState, offset: int) -> Color:
    assert state.live is not None
    candidate = state.candidate
    if candidate is not None and bucket_of(candidate.id, offset) < state.weight:
        return candidate.color
    return state.live


def _may_stand_in(state: ControlState, chosen: Color) -> bool:
    """P16: may the color that was not chosen answer?"""
    return chosen != state.live or state.fallback_to_other


def _judge_output(world: World, state: ControlState, published: Published, told: Outcome) -> None:
    offset, chosen = published.offset, _chosen(state, published.offset)
    deployment = state.slots[told.color]
    assert deployment is not None
    assert deployment.answers, f"{published}: aborted or retired"
    assert told.model == deployment.model
    assert _told(world, state, told.color).rows[offset] == (published.value, True)
    assert (told.color == chosen) == (told.why == "route"), f"{published}: {chosen} was chosen"
    if told.why == "route":
        return
    assert _may_stand_in(state, chosen), f"{published}: not allowed"
    by_chosen = _told(world, state, chosen)
    if told.why == "absent":
        assert by_chosen.unanswered(offset), published
    elif told.why == "error":
        assert not by_chosen.rows[offset][1], published
    else:
        assert told.why == "late"


def _judge_letter(world: World, state: ControlState, letter: DeadLetter) -> None:
    offset, chosen = letter.source.offset, _chosen(state, letter.source.offset)
    if set(letter.reasons.values()) == {GIVEN_UP}:
        given_up = [gap for past in world.history[: state.epoch + 1] for gap in past.gaps.values()]
        assert any(gap.first <= offset < gap.end for gap in given_up), f"{letter}: nobody gave it up (P29)"
        return
    assert letter.chosen == chosen
    assert set(letter.reasons) == set(COLORS)
    for color in (chosen, other(chosen)):
        asked = color == chosen or _may_stand_in(state, chosen)
        told, reason = _told(world, state, color), letter.reasons[color]
        if reason == "none":
            assert not asked or told.unanswered(offset), f"{letter}: {color} was to answer"
        elif reason == "late":
            assert asked, f"{letter}: {color} was not asked"
        else:
            assert told.rows[offset] == (reason.encode(), False), letter
    assert any(reason not in ("none", "late") for reason in letter.reasons.values()) or not _may_stand_in(state, chosen)
