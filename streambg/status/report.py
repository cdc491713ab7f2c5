"""A pipeline's state as measured, and what it means. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from streambg.comparing.told import Told
from streambg.control.state import ControlState, Phase, Standing
from streambg.records.rules import Rules
from streambg.records.source import COLORS, Color
from streambg.status.figures import Outcomes, Rates, Recent

# A partition whose event one color has answered, while the other owes its answer for this long, is worth a look: ten
# times the way of an event at ordinary load, half a candidate's default deadline.
STANDS_MS = 1_000
PUBLISHER = "publisher"


@dataclass(frozen=True, slots=True)
class Lane:
    """One partition. Source offsets; None where nothing is known. unsettled: the first one without an outcome.

    cutover: (first source offset, epoch) of the last cutover record; epoch: of the last outcome; publisher: who
    committed last. waits_ms: how long the first unsettled event has waited, 0 where there is none; waits_for: whose
    answer is missing, (`publisher`,) where none is, () where that was not asked; stands: a color has answered there.
    """

    partition: int
    input_begin: int
    input_end: int
    covered: Mapping[Color, int | None]
    settled: int | None
    unsettled: int
    epoch: int | None
    cutover: tuple[int, int] | None
    publisher: str | None
    waits_ms: int = 0
    waits_for: tuple[str, ...] = ()
    stands: bool = False

    @property
    def behind(self) -> int:
        """Offsets that have no outcome yet."""
        return max(0, self.input_end - self.unsettled)

    def lag(self, color: Color) -> int:
        """Offsets between what a color covers and the input's end."""
        covered = self.covered[color]
        return max(0, self.input_end - 1 - covered) if covered is not None else self.behind


@dataclass(frozen=True, slots=True)
class Member:
    """A living process of a group. rules: `Rules.short` of its pipeline file; None where it has not said it yet."""

    group: str  # `scorer blue`, `scorer green`, `publisher`, `comparator`
    name: str
    partitions: tuple[int, ...]
    rules: str | None

    @property
    def slot(self) -> str:
        return self.name.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the comparator has learnt of the pair in force. source: `redis`, or `topic` (some seconds older)."""

    source: str
    blue: int
    green: int
    compared: int
    agreement: float | None
    flips: int
    drift_alarms: int


@dataclass(frozen=True, slots=True)
class Servers:
    """Whom was asked. Neither address shows a password."""

    bootstrap: str
    cluster_id: str
    brokers: int
    redis: str
    redis_problem: str


@dataclass(frozen=True, slots=True)
class Command:
    """One of the last commands, as `history` has it."""

    offset: int
    appended_ms: int
    verb: str | None
    actor: str | None
    reason: str
    refusal: str | None


@dataclass(frozen=True, slots=True)
class Superseding:
    """A `supersede` that is under way: source offsets passed of how many, records written (P36)."""

    epoch: int
    color: Color
    model: str
    passed: int
    total: int
    written: int


@dataclass(frozen=True, slots=True)
class Status:
    """Everything `status` shows. at_ms: when it was looked; file_rules: the digest of the asker's own file.

    verdict: about the pair in force, as it stands now; None where nobody is to be judged.
    """

    pipeline: str
    at_ms: int
    state: ControlState
    folded: int
    lanes: tuple[Lane, ...]
    members: Mapping[str, tuple[Member, ...]]
    file_rules: str
    rates: Rates
    recent: Mapping[Color, Recent]
    evidence: Evidence | None
    live_view: Mapping[str, Any] | None
    outcomes: Outcomes
    commands: tuple[Command, ...]
    servers: Servers
    superseding: tuple[Superseding, ...] = ()
    verdict: Told | None = None


# It joins its group once it has a model.
_OR_ITS_LOG = ", or read its log (model_not_loaded) where it runs"


def attention(status: Status, max_lag_ms: int) -> list[str]:
    """What a person should look at; empty means OK."""
    state = status.state
    if state.phase is Phase.EMPTY:
        return ["nothing is deployed: `streambg deploy blue NAME:VERSION`"]
    found = other_files(status)
    if status.verdict is not None and status.verdict.word == "abort":
        verb = "rollback" if state.phase is Phase.WARM else "abort"
        found.insert(0, f"the verdict is abort: {'; '.join(status.verdict.reasons)}: `streambg {verb}`")
    for group, members in status.members.items():
        if not members and _needed(group, state):
            found.append(f"{group} has no member: start it{_OR_ITS_LOG if group.startswith('scorer ') else ''}")
    for lane in status.lanes:
        gone = _gone(lane, state)
        if gone is not None:
            found.append(gone)
        elif lane.waits_ms > (STANDS_MS if lane.stands else max_lag_ms):
            found.append(_waits(lane))
        elif lane.epoch is not None and lane.epoch < state.epoch and lane.behind > 0:
            found.append(f"partition {lane.partition}: epoch {state.epoch} is pending, it publishes by {lane.epoch}")
    return found


def other_files(status: Status) -> list[str]:
    """P4: files with other deciding rules than those in force, the asker's and the processes'."""
    found: list[str] = []
    if status.state.phase is Phase.EMPTY:
        return found
    in_force, own = (Rules.short(digest) for digest in (status.state.rules_digest, status.file_rules))
    if own != in_force:
        found.append(
            f"the pipeline file has other deciding rules than the last deploy ({own}, in force {in_force}): "
            "they count from the next deploy (P4)"
        )
    found += [
        f"{member.group} slot {member.slot} runs another pipeline file ({member.rules}, in force {in_force}): "
        "restart it with the present file (P4)"
        for members in status.members.values()
        for member in members
        if member.rules and member.rules not in (in_force, own)
    ]
    return found


def _needed(group: str, state: ControlState) -> bool:
    for color in COLORS:
        if group == f"scorer {color}":
            deployment = state.slots[color]
            return deployment is not None and deployment.standing is not Standing.RETIRED
    return True


def _gone(lane: Lane, state: ControlState) -> str | None:
    """P29: events that live has not answered and the input no longer holds."""
    assert state.live is not None
    covered = lane.covered[state.live]
    owed = max(lane.unsettled, state.gap_end(lane.partition), covered + 1 if covered is not None else 0)
    if lane.input_begin <= owed:
        return None
    return (
        f"partition {lane.partition}: {state.live} answers {owed} next, the input begins at {lane.input_begin}: "
        f"what lies between is gone; `streambg accept-gap {lane.partition}` goes on (P29)"
    )


def _waits(lane: Lane) -> str:
    who = "the publisher" if lane.waits_for in ((), (PUBLISHER,)) else " and ".join(lane.waits_for)
    return f"partition {lane.partition} waits {lane.waits_ms / 1_000:.1f} s for {who} ({lane.behind} events behind)"


def as_json(status: Status, notes: list[str]) -> dict[str, Any]:
    """One document; the keys are stable."""
    state = status.state
    return {
        "pipeline": status.pipeline,
        "at_ms": status.at_ms,
        "ok": not notes,
        "attention": notes,
        "epoch": state.epoch,
        "phase": state.phase.value,
        "live": state.live,
        "weight_percent": state.weight / 100,
        "paused": state.paused,
        "rules": {"in_force": state.rules_digest, "file": status.file_rules},
        "colors": {color: _color(status, color) for color in COLORS},
        "partitions": [_lane(lane, state) for lane in status.lanes],
        "rates": asdict(status.rates),
        "members": {group: len(members) for group, members in status.members.items()},
        "processes": [
            asdict(member) | {"slot": member.slot} for members in status.members.values() for member in members
        ],
        "evidence": asdict(status.evidence) if status.evidence else None,
        "verdict": {"word": status.verdict.word, "reasons": list(status.verdict.reasons)} if status.verdict else None,
        "live_view": status.live_view,
        "outcomes": _outcomes(status.outcomes),
        "superseding": [asdict(each) for each in status.superseding],
        "redis": status.servers.redis_problem or "ok",
        "last_commands": [asdict(command) | {"accepted": command.refusal is None} for command in status.commands],
        "servers": asdict(status.servers),
    }


def _color(status: Status, color: Color) -> dict[str, Any] | None:
    deployment = status.state.slots[color]
    if deployment is None:
        return None
    return {
        "role": role(status.state, color),
        "model": deployment.model,
        "digest": deployment.digest,
        "deployment": deployment.id,
        "sample_percent": deployment.sample / 100 if deployment.sample is not None else None,
        "members": len(status.members[f"scorer {color}"]),
        "events_per_s": status.rates.scored[color],
        "lag": lag(status, color),
        "last_answers": asdict(status.recent[color]),
    }


def lag(status: Status, color: Color) -> int | None:
    """Offsets that a color has not answered yet, all partitions together; None where it is not to score."""
    return sum(lane.lag(color) for lane in status.lanes) if _needed(f"scorer {color}", status.state) else None


def _lane(lane: Lane, state: ControlState) -> dict[str, Any]:
    first, epoch = lane.cutover or (None, None)
    return asdict(lane) | {
        "behind": lane.behind,
        "cutover": first,
        "cutover_epoch": epoch,
        "pending_epoch": pending(lane, state),
    }


def pending(lane: Lane, state: ControlState) -> int | None:
    """The epoch in force, where this partition has published nothing under it yet (P19)."""
    return state.epoch if lane.epoch is None or lane.epoch < state.epoch else None


def _outcomes(outcomes: Outcomes) -> dict[str, Any]:
    letter = outcomes.last_letter
    return {
        "last_published": outcomes.looked_at,
        "all_of_the_topic": outcomes.complete,
        "by": [{"color": color, "why": why, "count": n} for (color, why), n in outcomes.published.items()],
        "dead_letters": {
            "count": outcomes.letters,
            "all_of_the_topic": outcomes.letters_complete,
            "last": {"source": str(letter.source), "epoch": letter.epoch, "reasons": dict(letter.reasons)}
            if letter
            else None,
        },
        "foreign": outcomes.foreign,
    }


def role(state: ControlState, color: Color) -> str:
    """live, candidate, aborted, warm, retired, or empty."""
    deployment = state.slots[color]
    if deployment is None:
        return "empty"
    if color == state.live:
        return "live"
    return "retired" if deployment.standing is Standing.RETIRED else state.phase.value
