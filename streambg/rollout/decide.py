"""The controller's decision: what is in force and what is known -> the next command, or what is waited for (DESIGN 9).

Pure: time, evidence and the answer of an address are arguments. Two controllers at once are harmless: both send with
the epoch they decided on, and the log takes one (P1).

What is not known is never a pass. What is *undecided* (events, gates, coverage, evidence that is not renewed) makes a
step inconclusive once its time is up; what is merely *waited for* (a person, hours, an address, a lag) does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from streambg.comparing.told import STALE_S
from streambg.control.rollouts import Rollout, Stage
from streambg.rollout.plan import Hours, Step
from streambg.rollout.words import shown

Word = Literal["promote", "abort", "continue", "inconclusive"]
# A verdict is written at every change, and again and again: without one for this long nobody judges any more.
STALE_MS = int(STALE_S * 1_000)


@dataclass(frozen=True, slots=True)
class Look:
    """What is known at one moment. Times in ms since 1970.

    entered_ms: append time of the record that entered the step or stage. word, reasons: the verdict over the step's
    gates; evidence: its digest; events: pairs compared; written_ms: when the newest evidence was written, None: there
    is none. harm: why the candidate is to be taken back after its promote. lags: why the candidate does not keep up.
    check: did the step's address answer 2xx; None: not asked. broken: why it is taken for broken without any evidence.
    """

    now_ms: int
    entered_ms: int
    word: Word
    reasons: tuple[str, ...] = ()
    evidence: str = ""
    events: int = 0
    written_ms: int | None = None
    paused: bool = False
    harm: str | None = None
    lags: tuple[str, ...] = ()
    check: bool | None = None
    broken: str | None = None

    @property
    def elapsed_ms(self) -> int:
        return self.now_ms - self.entered_ms

    @property
    def stale(self) -> str | None:
        """Why the evidence says nothing about now."""
        if self.written_ms is None:
            return "there is no evidence yet: is the comparator running, and do events come?"
        age = self.now_ms - self.written_ms
        if age > STALE_MS:
            return (
                f"no news of the evidence for {age / 1_000:.0f} s, at most {STALE_MS / 1_000:.0f}: "
                "is the comparator running, and do events come?"
            )
        return None


@dataclass(frozen=True, slots=True)
class Act:
    """Send this command; the reason stands in the control log."""

    verb: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Everything else holds: ask this address."""

    address: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do yet, and why."""

    reasons: tuple[str, ...]


Decision = Act | Ask | Wait


def decide(rollout: Rollout, look: Look) -> Decision:
    """One step of the controller."""
    match rollout.stage:
        case Stage.RUNNING:
            return _running(rollout, look)
        case Stage.HELD:
            return _held(rollout, look)
        case Stage.WATCHING:
            return _watching(rollout, look)
        case Stage.KEEPING:
            return _keeping(rollout, look)
    return Wait((rollout.summary(),))


def _running(rollout: Rollout, look: Look) -> Decision:
    if (abort := _abort(look)) is not None:
        return abort
    step = rollout.plan.steps[rollout.step]
    undecided = _undecided(rollout, step, look)
    if undecided:
        return _late(rollout, step, look, undecided)
    waits = _waits(rollout, step, look)
    if waits:
        return Wait(waits)
    if step.check is not None and look.check is None:
        return Ask(step.check)
    if step.check is not None and not look.check:
        return Wait((f"{step.check} has not answered 2xx",))
    return Act("rollout-advance", _because(look))


def _abort(look: Look) -> Act | None:
    """Harm, or a candidate that is broken; what then becomes of it the plan says (`on_abort`)."""
    if look.word == "abort":
        return Act("rollout-abort", _because(look))
    return None if look.broken is None else Act("rollout-abort", _short(look.broken))


def _undecided(rollout: Rollout, step: Step, look: Look) -> tuple[str, ...]:
    """What the step needs to know and does not."""
    missing = []
    events = max(0, look.events - rollout.events)
    if events < step.events:
        missing.append(f"{events:,} of {step.events:,} events at this weight")
    if step.gates and look.word != "promote":
        missing += look.reasons or ("the gates are not passed",)
    if (step.gates or step.events) and look.stale:
        missing.append(look.stale)
    return tuple(missing)


def _late(rollout: Rollout, step: Step, look: Look, undecided: tuple[str, ...]) -> Decision:
    """Undecided: go on waiting, or no longer."""
    over = step.within_ms is not None and look.elapsed_ms >= step.within_ms
    if look.paused or not (over or look.word == "inconclusive"):
        return Wait(undecided)
    after = f"inconclusive after {look.elapsed_ms / 1_000:.0f} s" if over else "inconclusive"
    verb = "rollout-hold" if rollout.plan.on_inconclusive == "hold" else "rollout-abort"
    return Act(verb, _short(f"{after}: {'; '.join(undecided)}"))


def _waits(rollout: Rollout, step: Step, look: Look) -> tuple[str, ...]:
    """What is decided and must still come."""
    waits = []
    if look.paused:
        waits.append("paused: streambg resume")
    if look.elapsed_ms < step.at_least_ms:
        waits.append(f"{(step.at_least_ms - look.elapsed_ms) / 1_000:.0f} s more at this weight")
    if step.approval and not rollout.approved:
        waits.append("a person: streambg rollout approve")
    if step.hours is not None and not within(step.hours, look.now_ms):
        waits.append(f"the hours {shown(step.hours)}")
    return (*waits, *look.lags)


def _held(rollout: Rollout, look: Look) -> Decision:
    """Held is not unwatched: harm still aborts."""
    if (abort := _abort(look)) is not None:
        return abort
    return Wait(("held: streambg rollout approve, skip or stop; or abort", *look.reasons))


def _watching(rollout: Rollout, look: Look) -> Decision:
    if look.harm is not None:
        return Act("rollout-rollback", _short(look.harm))
    left = rollout.plan.watch_ms - look.elapsed_ms
    if left > 0:
        return Wait((f"watched for harm, {left / 1_000:.0f} s more",))
    if rollout.plan.watch_ms and look.stale:
        return Wait((f"the watch goes on: {look.stale}",))
    return Act("rollout-keep", f"no harm seen in {look.elapsed_ms / 1_000:.0f} s")


def _keeping(rollout: Rollout, look: Look) -> Decision:
    # both count from the promote, and the watch is over
    left = rollout.plan.keep_warm_ms - rollout.plan.watch_ms - look.elapsed_ms
    if left > 0:
        return Wait((f"the old color is kept warm, {left / 1_000:.0f} s more",))
    return Act("rollout-retire", f"kept warm for {rollout.plan.keep_warm_ms / 1_000:.0f} s")


def _because(look: Look) -> str:
    return _short("; ".join(look.reasons) or look.word)


def _short(text: str) -> str:
    """A reason in the control log has at most 2,000 characters (commands.py)."""
    return text if len(text) <= 1_000 else text[:999] + "…"


def within(hours: Hours, now_ms: int) -> bool:
    """Is this moment inside the hours, in their own zone?"""
    local = datetime.fromtimestamp(now_ms / 1_000, UTC).astimezone(ZoneInfo(hours.zone))
    return local.weekday() in hours.days and hours.opens <= local.hour * 60 + local.minute < hours.closes
