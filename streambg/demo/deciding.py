"""Plays a story: two deploys and a start; from there on the controller decides alone."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from streambg.control import verbs
from streambg.control.fold import Entry
from streambg.control.rollouts import Rollout, Stage
from streambg.control.verbs import Said
from streambg.demo import reckoning
from streambg.demo.labelling import Labeller
from streambg.demo.play import ACTOR, READY_S, Cast
from streambg.demo.stories import Story
from streambg.rollout import verbs as rollouts
from streambg.rollout.plan import Plan

# The candidate is deployed when this share of the stream is sent: blue has been alone for a moment.
DEPLOY_AT = 0.04
# The stream does not pass this share before all is decided: what follows shows what was decided.
UNTIL = 0.9
# Every step of the plan waits for events of its own: so many times what the later ones ask for is kept for them,
# however late this machine is with its decisions. What is sent and not compared when a step is entered counts for it.
KEPT_FOR_LATER = 1.25
# From the start to the last decision: three steps of some seconds each, labels that come a horizon later; the story
# of the candidate that goes silent waits for 30 s more.
DECIDED_S = 150.0
LOOK_S = 0.2
# Watched without harm for so many events after the promote, the story of the good candidate is told.
WATCHED = 5_000
CANDIDATE = "scorer.green"


@dataclass(frozen=True, slots=True)
class Decision:
    """One move of the rollout. seconds: since its start; events: pairs compared by then."""

    verb: str
    epoch: int
    seconds: float
    events: int
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Told:
    """How a story went; `problems` empty: as it must."""

    story: str
    words: str
    ends: str
    ended: str
    live: str
    models: Mapping[str, str]
    events: int
    labels: int
    decisions: Sequence[Decision]
    audit: Mapping[str, Any]
    problems: Sequence[str]

    @property
    def ok(self) -> bool:
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """One document."""
        return {"ok": self.ok, **asdict(self)}


def play_story(cast: Cast, story: Story, labeller: Labeller) -> None:
    """Until the rollout has ended as stories do, or the time is up. Raises StreambgError where it cannot begin."""
    events, sender, plan = cast.sender.events, cast.sender, _plan(cast, story)
    until = int(UNTIL * events)
    end = until if story.shift_at is None else int(story.shift_at * events)
    sender.allow(_may_send(plan, 0, end))
    _deploy(cast, "blue", "the first deployment goes live at once", start="earliest")
    sender.start()
    labeller.start()
    cast.until(lambda: cast.watcher.found().first_seen_ms is not None, READY_S)
    cast.start_the_rest()
    cast.until(lambda: sender.sent >= DEPLOY_AT * events, READY_S)
    _deploy(cast, "green", story.words)
    sent = rollouts.start(cast.control, cast.pipeline, Said(ACTOR, story.words), plan=plan).or_raise()
    cast.screen.note("rollout start: from here on nobody says a word", "bold")
    cast.in_force[0] = sent.state.summary()
    stopped = False
    try:
        stopped = _watch(cast, story, end, until)
    finally:
        if stopped and cast.supervisor is not None:
            cast.supervisor.send(CANDIDATE, signal.SIGCONT)
            cast.screen.note("the candidate's scorer goes on", "dim")
    sender.allow(events)


def _deploy(cast: Cast, color: Any, why: str, start: verbs.Start | None = None) -> None:
    model = cast.models[color]
    cast.screen.note(f"deploy {color} {model}: {why}", "bold")
    sent = verbs.deploy(cast.control, cast.pipeline, color, model, Said(ACTOR, why), start=start).or_raise()
    cast.in_force[0] = sent.state.summary()


def _plan(cast: Cast, story: Story) -> Plan:
    plan = rollouts.plan_of(cast.pipeline)
    if story.within_s is None:
        return plan
    return replace(plan, steps=tuple(replace(step, within_ms=story.within_s * 1_000) for step in plan.steps))


def _may_send(plan: Plan, step: int, end: int) -> int:
    """So many events while this step is in force, of `end` until the candidate is live."""
    return end - int(KEPT_FOR_LATER * sum(each.events for each in plan.steps[step + 1 :]))


def _watch(cast: Cast, story: Story, end: int, until: int) -> bool:
    """Until it has ended; was the candidate's scorer stopped?"""
    deadline, said, stopped = time.monotonic() + DECIDED_S, "", False
    promoted_at: int | None = None
    while time.monotonic() < deadline:
        cast.healthy()
        state = cast.control.state()
        cast.in_force[0] = state.summary()
        rollout = state.rollout
        assert rollout is not None
        if rollout.summary() != said:
            said = rollout.summary()
            cast.screen.note(said, "bold")
            if rollout.stage is Stage.RUNNING:
                cast.sender.allow(_may_send(rollout.plan, rollout.step, end))
        if rollout.stage is Stage.WATCHING and promoted_at is None:
            promoted_at = cast.sender.sent
            cast.sender.allow(until)
        if story.stops_at == rollout.step and not stopped and rollout.stage is Stage.RUNNING:
            stopped = _stop_candidate(cast)
        if _ended(cast, story, rollout, promoted_at):
            return stopped
        time.sleep(LOOK_S)
    return stopped


def _stop_candidate(cast: Cast) -> bool:
    assert cast.supervisor is not None, "stories are played with processes of our own"
    cast.supervisor.send(CANDIDATE, signal.SIGSTOP)
    cast.screen.note(f"{CANDIDATE} is stopped (SIGSTOP): its predictions end", "yellow")
    return True


def _ended(cast: Cast, story: Story, rollout: Rollout, promoted_at: int | None) -> bool:
    if rollout.stage is Stage.WATCHING:
        # other stories go on to what comes after the promote
        waited = promoted_at is not None and cast.sender.sent >= min(
            promoted_at + WATCHED, int(UNTIL * cast.sender.events)
        )
        return story.ends is Stage.WATCHING and waited
    return rollout.stage is not Stage.RUNNING


def tell(cast: Cast, story: Story, labeller: Labeller, problems: Sequence[str]) -> Told:
    """What came of it; the processes have ended."""
    entries = verbs.entries(cast.pipeline)
    last = entries[-1].state
    rollout = last.rollout
    assert rollout is not None
    report = reckoning.audited(cast)
    found = [*problems, *reckoning.letters_problems(cast.sender.planted, cast.watcher.found().letters)]
    if rollout.stage is not story.ends:
        found.append(f"the rollout is {rollout.stage}, it must be {story.ends}")
    if story.stops_at not in (None, rollout.step):
        found.append(f"the rollout is in step {rollout.step + 1}, it must have come to step {story.stops_at + 1}")
    if report["verdict"] != "ok":
        found.append(f"the audit says {report['verdict']}: {report['reason']}")
    if labeller.failure is not None:
        found.append(str(labeller.failure))
    return Told(
        story.name,
        story.words,
        story.ends.value,
        rollout.stage.value,
        f"{last.live} {last.live_deployment.model if last.live_deployment else ''}",
        {str(color): model for color, model in cast.models.items()},
        cast.sender.sent,
        labeller.labelled,
        list(_decisions(entries, rollout)),
        report,
        found,
    )


def _decisions(entries: Sequence[Entry], rollout: Rollout) -> list[Decision]:
    began = next(entry.appended_ms for entry in entries if entry.offset == rollout.id)
    return [
        Decision(
            entry.envelope.verb.removeprefix("rollout-"),
            entry.offset,
            round((entry.appended_ms - began) / 1_000, 1),
            int(entry.envelope.args.get("events", 0)),
            entry.envelope.actor,
            entry.envelope.reason,
        )
        for entry in entries
        if entry.envelope is not None and entry.accepted and entry.envelope.verb.startswith("rollout-")
    ]


def render(told: Told) -> RenderableType:
    """The table for a terminal."""
    table = Table("", "after", "events", "why", title=f"{told.story}: {told.words}", title_justify="left")
    for each in told.decisions:
        table.add_row(each.verb, f"{each.seconds:.1f} s", f"{each.events:,}", each.reason)
    parts: list[RenderableType] = [table, Text(f"the rollout is {told.ended}; live is {told.live}", "bold")]
    parts += [Text(f"✗ {problem}", "bold red") for problem in told.problems]
    verdict, reason = told.audit.get("verdict", "not run"), told.audit.get("reason", "")
    parts.append(Text(f"the audit says: {verdict} ({reason})", "bold green" if verdict == "ok" else "bold red"))
    return Group(*parts)
