"""What a rollout came to, step by step, as the control log tells it: for `ci deploy`'s reports. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from streambg.continuous.junit import Case, Result
from streambg.control.fold import Entry
from streambg.control.rollouts import Rollout, Stage
from streambg.control.state import Deployment
from streambg.rollout.words import shown_step

Word = Literal["live", "taken back", "under way", "a person decides"]
How = Literal["begun", "joined", "live already"]
# One table with `verdict` and `rollout --watch`: 0 good, 10 taken back, 11 not known yet, 12 a person has to decide.
EXIT: Mapping[Word, int] = {"live": 0, "taken back": 10, "under way": 11, "a person decides": 12}
WORDS: Mapping[Stage, Word] = {
    Stage.RUNNING: "under way",
    Stage.WATCHING: "under way",
    Stage.HELD: "a person decides",
    Stage.KEEPING: "live",
    Stage.DONE: "live",
    Stage.ABORTED: "taken back",
    Stage.ROLLED_BACK: "taken back",
    Stage.STOPPED: "a person decides",
    Stage.TAKEN_OVER: "a person decides",
}
_ONWARD = ("rollout-advance", "rollout-skip")
NO_HARM = "no harm"


@dataclass(frozen=True, slots=True)
class Passage:
    """One step of the plan, or (`weight` None) the watch after the promote.

    how: what became of it; seconds: how long it was in force, None: it still is, or never was. events: pairs compared
    when it was left. why: the reason in the control log.
    """

    weight: float | None
    needs: str
    how: Result | Literal["in force", "not yet"]
    seconds: float | None = None
    events: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """rollout: its id; None: there was nothing to roll out. reasons: what it waits for, or why it ended.

    accepted: mismatches with the contract that somebody accepted.
    """

    word: Word
    how: How
    deployment: Deployment
    rollout: int | None = None
    stage: str = ""
    reasons: tuple[str, ...] = ()
    passages: tuple[Passage, ...] = ()
    in_force: str = ""
    accepted: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return EXIT[self.word]

    def as_json(self) -> dict[str, Any]:
        """One document."""
        return {
            "outcome": self.word,
            "exit_code": self.exit_code,
            "how": self.how,
            "model": self.deployment.model,
            "digest": self.deployment.digest,
            "color": self.deployment.color,
            "deployment": self.deployment.id,
            "rollout": self.rollout,
            "stage": self.stage or None,
            "reasons": list(self.reasons),
            "steps": [asdict(passage) for passage in self.passages],
            "accepted_contract_changes": list(self.accepted),
            "in_force": self.in_force,
        }

    def cases(self) -> Iterator[Case]:
        """Test cases: the contract, each step, the watch."""
        if self.rollout is None:
            yield Case("live", "passed", "it is live already")
            return
        yield Case("contract", "passed", "; ".join(self.accepted))
        for number, passage in enumerate(self.passages, 1):
            name = "watched for harm" if passage.weight is None else f"step {number} at {passage.weight:g} %"
            stands: Result = "error" if self.word == "a person decides" else "skipped"
            result = "skipped" if passage.how == "not yet" else stands if passage.how == "in force" else passage.how
            yield Case(name, result, passage.why or passage.needs, passage.seconds or 0.0)


def passages(entries: Iterable[Entry], rollout: Rollout) -> tuple[Passage, ...]:
    """What became of each step, from the records of the whole control log."""
    needs = [(step.weight / 100, shown_step(step)) for step in rollout.plan.steps]
    told: list[Passage] = []
    since, open_ = 0, True
    for entry in entries:
        if entry.offset == rollout.id:
            since = entry.appended_ms
        elif open_ and _leaves(entry, rollout):
            weight, need = needs[len(told)] if len(told) < len(needs) else (None, NO_HARM)
            seconds = (entry.appended_ms - since) / 1_000
            told.append(Passage(weight, need, _how(entry), seconds, _events(entry), _why(entry)))
            since, open_ = entry.appended_ms, _verb(entry) in _ONWARD
    return (*told, *_rest(rollout, needs, len(told), open_))


def accepted(entries: Iterable[Entry], deployment: Deployment) -> tuple[str, ...]:
    """The changes of the contract that somebody accepted with this deployment's `deploy`."""
    for entry in entries:
        if entry.offset == deployment.id and entry.envelope is not None:
            return tuple(map(str, entry.envelope.args.get("contract_change", ())))
    return ()


def _leaves(entry: Entry, rollout: Rollout) -> bool:
    """Does this record end a step of that rollout, or the watch?"""
    now = entry.state.rollout
    if entry.offset < rollout.id or not entry.accepted or now is None or now.id != rollout.id:
        return False
    return _verb(entry) in (*_ONWARD, "rollout-keep") or not now.active


def _how(entry: Entry) -> Result:
    """A step that was left forwards is passed; the others say who ended it."""
    after = entry.state.rollout
    if _verb(entry) in (*_ONWARD, "rollout-keep"):
        return "passed"
    return "failed" if after is not None and after.stage in (Stage.ABORTED, Stage.ROLLED_BACK) else "error"


def _rest(rollout: Rollout, needs: Sequence[tuple[float, str]], told: int, open_: bool) -> Iterator[Passage]:
    """What is in force, and what was never reached."""
    whole = [*needs, *([(None, NO_HARM)] if rollout.plan.promotes else [])]
    for number, (weight, need) in enumerate(whole[told:]):
        now: Literal["in force", "not yet"] = "in force" if number == 0 and open_ else "not yet"
        yield Passage(weight, need, now if rollout.active else "skipped")


def _events(entry: Entry) -> int:
    return int(entry.envelope.args.get("events", 0)) if entry.envelope else 0


def _verb(entry: Entry) -> str:
    return entry.envelope.verb if entry.envelope else ""


def _why(entry: Entry) -> str:
    return f"{_verb(entry)}: {entry.envelope.reason if entry.envelope else ''}".rstrip(": ")
