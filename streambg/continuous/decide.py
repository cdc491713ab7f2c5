"""`watch-registry`'s decision: what the registry holds, what the control log says -> what is done next. Pure.

One at a time, and the newest wins: a version that arrives while another one is on its way waits, and where several
wait the older ones are skipped for good. What was tried, by whomever, is not tried again, whatever became of it. All of
that is read from the control log, the skipped versions from the reasons that this module wrote: there is no other
memory, so a restart decides the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streambg.continuous.slot import Free, idle
from streambg.control.fold import Entry
from streambg.control.state import ControlState, Deployment, Phase
from streambg.records.source import Color

ACTOR = "watch-registry"
# A reason in the control log has at most 2,000 characters (commands.py); a version's name at most 199.
MAX_SKIPS_CHARACTERS = 1_700
_SKIPS = "; older ones are skipped: "


@dataclass(frozen=True, slots=True)
class Version:
    """One version that could be deployed."""

    ref: str
    digest: str


@dataclass(frozen=True, slots=True)
class Tried:
    """An accepted `deploy`: of what, as which deployment, by `watch-registry` or by others, and what that skipped."""

    ref: str
    digest: str
    deployment: int
    by_us: bool
    skips: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Try:
    """Deploy this version to this color and start the plan; `skips`: older ones that will never be tried."""

    version: Version
    color: Color
    skips: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """We deployed it and died before the plan was started."""

    deployment: Deployment


@dataclass(frozen=True, slots=True)
class Wait:
    """There is something new, and why it is not done now."""

    version: Version
    why: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is nothing new; `why` names what is known of the newest."""

    why: str


Decision = Try | Start | Wait | Nothing


def tried_of(entry: Entry) -> Tried | None:
    """What a record of the control log says was tried; None: nothing."""
    envelope = entry.envelope
    if envelope is None or not entry.accepted or envelope.verb != "deploy":
        return None
    by_us = envelope.actor == ACTOR
    skips = skips_of(envelope.reason) if by_us else ()
    return Tried(str(envelope.args["model"]), str(envelope.args["digest"]), entry.offset, by_us, skips)


def decide(
    state: ControlState, versions: Sequence[Version], tried: Sequence[Tried], refused: Mapping[str, str]
) -> Decision:
    """versions: of one model, oldest first. refused: digest -> why this process could not deploy it."""
    if (left := _left(state, tried)) is not None:
        return Start(left)
    if not versions:
        return Nothing("the registry holds no version of it")
    new = unseen(versions, tried)
    if not new:
        return Nothing(_known(versions[-1], tried))
    newest = new[-1]
    if newest.digest in refused:
        return Wait(newest, refused[newest.digest])
    found = idle(state)
    if isinstance(found, Free):
        return Try(newest, found.color, tuple(version.ref for version in new[:-1]))
    return Wait(newest, f"{found.why}; {found.way_out}")


def unseen(versions: Sequence[Version], tried: Sequence[Tried]) -> Sequence[Version]:
    """Those behind the newest that was tried or skipped.

    Known by name or by digest: the same bytes under a new name are no new model.
    """
    names = {name for each in tried for name in (each.ref, *each.skips)}
    digests = {each.digest for each in tried}
    known = [at for at, version in enumerate(versions) if version.ref in names or version.digest in digests]
    return versions[known[-1] + 1 :] if known else versions


def _left(state: ControlState, tried: Sequence[Tried]) -> Deployment | None:
    """The candidate that we deployed, and that no rollout was ever begun for."""
    candidate = state.candidate
    if candidate is None or state.phase is not Phase.CANDIDATE or state.paused:
        return None
    begun = state.rollout is not None and state.rollout.candidate == candidate.id
    by_us = any(each.by_us and each.deployment == candidate.id for each in tried)
    return candidate if by_us and not begun and state.weight == 0 else None


def _known(newest: Version, tried: Sequence[Tried]) -> str:
    for each in reversed(tried):
        if newest.digest == each.digest or newest.ref == each.ref:
            return f"the newest, {newest.ref}, was tried as deployment {each.deployment}; what was tried is not again"
    return f"the newest, {newest.ref}, was skipped"


def reason_of(version: Version, skips: Sequence[str]) -> str:
    """What the control log keeps of a try; `skips_of` reads it again. The newest skipped ones, as far as they fit."""
    said = f"{version.ref} is new in the registry"
    kept: list[str] = []
    room = MAX_SKIPS_CHARACTERS
    for name in reversed(skips):
        room -= len(name) + 1
        if room < 0:
            break
        kept.insert(0, name)
    return f"{said}{_SKIPS}{' '.join(kept)}" if kept else said


def skips_of(reason: str) -> tuple[str, ...]:
    """The versions that a reason of ours names as skipped."""
    return tuple(reason.partition(_SKIPS)[2].split())
