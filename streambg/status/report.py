"""A pipeline's state as measured, and what it means. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from streambg.control.state import ControlState, Phase
from streambg.records.source import COLORS, Color


@dataclass(frozen=True, slots=True)
class Lane:
    """One partition. Source offsets; None where nothing is known. `waits_ms`: age of the first unsettled event."""

    partition: int
    input_end: int
    covered: dict[Color, int | None]
    settled: int | None
    epoch: int | None
    cutover: int | None
    publisher: str | None
    waits_ms: int

    @property
    def behind(self) -> int:
        """Events (offsets) between settled and the input's end."""
        return max(0, self.input_end - 1 - self.settled) if self.settled is not None else self.input_end


@dataclass(frozen=True, slots=True)
class Status:
    """Everything `status` shows."""

    pipeline: str
    state: ControlState
    folded: int
    lanes: tuple[Lane, ...]
    members: dict[str, int]
    file_rules: str
    live_view: dict[str, Any] | None = None
    redis_problem: str = ""
    last_commands: tuple[dict[str, Any], ...] = field(default=())


def attention(status: Status, max_lag_ms: int) -> list[str]:
    """What a person should look at; empty means OK."""
    found: list[str] = []
    state = status.state
    if state.phase is Phase.EMPTY:
        return ["nothing is deployed: `streambg deploy blue NAME:VERSION`"]
    if status.file_rules != state.rules_digest:
        found.append(
            "the pipeline file has other deciding rules than the last deploy "
            f"({status.file_rules[:15]}, in force {state.rules_digest[:15]}): they count from the next deploy (P4)"
        )
    for group, members in status.members.items():
        if members == 0 and _needed(group, state):
            found.append(f"{group} has no member: start it")
    for lane in status.lanes:
        if lane.waits_ms > max_lag_ms:
            found.append(_waits(lane, state))
        elif lane.epoch is not None and lane.epoch < state.epoch and lane.behind > 0:
            found.append(f"partition {lane.partition}: epoch {state.epoch} is pending, it publishes by {lane.epoch}")
    return found


def _needed(group: str, state: ControlState) -> bool:
    for color in COLORS:
        if group == f"scorer {color}":
            deployment = state.slots[color]
            return deployment is not None and deployment.standing != "retired"
    return True


def _waits(lane: Lane, state: ControlState) -> str:
    who = "the publisher"
    for color in (state.live, *COLORS):
        if color is None or (color != state.live and state.weight == 0):
            continue
        covered = lane.covered[color]
        if covered is None or (lane.settled is not None and covered <= lane.settled):
            who = color
            break
    return f"partition {lane.partition} waits {lane.waits_ms / 1_000:.1f} s for {who} ({lane.behind} events behind)"


def as_json(status: Status, notes: list[str]) -> dict[str, Any]:
    """One document; the keys are stable."""
    state = status.state
    return {
        "pipeline": status.pipeline,
        "ok": not notes,
        "attention": notes,
        "epoch": state.epoch,
        "phase": state.phase.value,
        "live": state.live,
        "weight_percent": state.weight / 100,
        "paused": state.paused,
        "colors": {color: _color(state, color) for color in COLORS},
        "partitions": [asdict(lane) | {"behind": lane.behind} for lane in status.lanes],
        "members": status.members,
        "live_view": status.live_view,
        "redis": status.redis_problem or "ok",
        "last_commands": list(status.last_commands),
    }


def _color(state: ControlState, color: Color) -> dict[str, Any] | None:
    deployment = state.slots[color]
    if deployment is None:
        return None
    return {
        "role": role(state, color),
        "model": deployment.model,
        "digest": deployment.digest,
        "deployment": deployment.id,
        "sample_percent": deployment.sample / 100 if deployment.sample is not None else None,
    }


def role(state: ControlState, color: Color) -> str:
    """live, candidate, aborted, warm, retired, or empty."""
    deployment = state.slots[color]
    if deployment is None:
        return "empty"
    if color == state.live:
        return "live"
    return "retired" if deployment.standing == "retired" else state.phase.value
