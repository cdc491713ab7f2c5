"""What a demo came to: one value, as JSON and as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from streambg.demo.measure import Volume
from streambg.demo.timeline import Step
from streambg.records.outcome import DeadLetter
from streambg.records.source import COLORS


@dataclass(frozen=True, slots=True)
class Done:
    """A step that was done.

    at: events sent then. effect_s: from the command's append (log-append time), or from the kill, to the first record
    of it that a read_committed reader saw; None: none was seen. appended_ms: of the command, or of the kill.
    epoch, summary: of the control log after it. cutovers: first source offset by partition. restart_s: from the kill
    to the new process's start.
    """

    step: Step
    at: int
    waited_s: float
    appended_ms: int
    epoch: int | None = None
    summary: str = ""
    effect_s: float | None = None
    cutovers: Mapping[int, int] | None = None
    restart_s: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that the demo says at its end; `problems` empty: it passed."""

    events: int
    rate: int
    partitions: int
    seconds_to_first_published: float | None
    seconds: float
    stream_seconds: float
    stream_held_s: float
    published: Mapping[tuple[str, str], int]
    letters: Sequence[DeadLetter]
    planted: Mapping[str, str]
    owed_letters: int
    agreement: float | None
    compared: int
    flips: int
    steps: Sequence[Done]
    cpu_s: Mapping[str, float]
    volumes: Mapping[str, Volume]
    restarts: Mapping[str, int]
    models: Mapping[str, str]
    audit: Mapping[str, Any]
    problems: Sequence[str]

    @property
    def ok(self) -> bool:
        return not self.problems

    def by_color(self, color: str) -> int:
        """Records published with this color's answers."""
        return sum(count for (of, _), count in self.published.items() if of == color)

    def by_why(self, why: str) -> int:
        """Records published for this reason."""
        return sum(count for (_, reason), count in self.published.items() if reason == why)

    def cpu_of(self, color: str) -> float:
        """CPU seconds of a color's scorers."""
        return sum(seconds for name, seconds in self.cpu_s.items() if name.startswith(f"scorer.{color}"))

    def as_json(self) -> dict[str, Any]:
        """One document."""
        return {
            "ok": self.ok,
            "problems": list(self.problems),
            "events": self.events,
            "rate": self.rate,
            "partitions": self.partitions,
            "seconds_to_first_published": self.seconds_to_first_published,
            "seconds": self.seconds,
            "stream_seconds": self.stream_seconds,
            "stream_held_seconds": self.stream_held_s,
            "models": dict(self.models),
            "published": {color: self.by_color(color) for color in COLORS},
            "why": {why: self.by_why(why) for why in ("route", "absent", "error", "late", "supersedes")},
            "dead_letters": {str(letter.source): dict(letter.reasons) for letter in self.letters},
            "planted": dict(self.planted),
            "planted_dead_letters": self.owed_letters,
            "agreement": self.agreement,
            "compared": self.compared,
            "flips": self.flips,
            "steps": [_step(done) for done in self.steps],
            "cpu_seconds": dict(self.cpu_s),
            "topics": {topic: asdict(volume) for topic, volume in self.volumes.items()},
            "restarts": dict(self.restarts),
            "audit": dict(self.audit),
        }


def _step(done: Done) -> dict[str, Any]:
    return {
        "step": done.step.words,
        "after_events": done.at,
        "waited_seconds": done.waited_s,
        "epoch": done.epoch,
        "in_force": done.summary,
        "effect_seconds": done.effect_s,
        "restart_seconds": done.restart_s,
        "cutovers": {str(partition): first for partition, first in sorted((done.cutovers or {}).items())},
    }


def render(result: Result) -> RenderableType:
    """The tables for a terminal."""
    parts: list[RenderableType] = [_steps(result), _figures(result)]
    if not result.ok:
        parts += [Text(f"✗ {problem}", "bold red") for problem in result.problems]
    verdict, reason = result.audit.get("verdict", "not run"), result.audit.get("reason", "")
    parts.append(Text(f"the audit says: {verdict} ({reason})", "bold green" if verdict == "ok" else "bold red"))
    return Group(*parts)


def _steps(result: Result) -> Table:
    table = Table(title="Cutovers: the first source offset that each epoch decides", title_justify="left")
    for name in ("step", "at event", "epoch", "effect after"):
        table.add_column(name, justify="left" if name == "step" else "right", no_wrap=True)
    for partition in range(min(result.partitions, MOST_COLUMNS)):
        table.add_column(f"p{partition}", justify="right")
    for done in result.steps:
        cutovers = done.cutovers or {}
        effect = "none seen" if done.effect_s is None else f"{done.effect_s:.3f} s"
        table.add_row(
            done.step.words,
            f"{done.at:,}",
            "" if done.epoch is None else str(done.epoch),
            effect,
            *(str(cutovers.get(partition, "")) for partition in range(min(result.partitions, MOST_COLUMNS))),
        )
    return table


# What fits beside the step's own columns on a terminal of 100; the JSON has them all.
MOST_COLUMNS = 8


def _figures(result: Result) -> Table:
    table = Table("", "both", *COLORS, title="What came of it", title_justify="left")
    total = sum(result.published.values())
    table.add_row("events sent", f"{result.events:,}", "", "")
    table.add_row("published", f"{total:,}", *(f"{result.by_color(color):,}" for color in COLORS))
    for why in ("absent", "error", "late"):
        counts = (result.published.get((color, why), 0) for color in COLORS)
        table.add_row(
            f"  in place of the other ({why})", f"{result.by_why(why):,}", *(f"{count:,}" for count in counts)
        )
    table.add_row(f"dead letters (planted: {result.owed_letters})", f"{len(result.letters):,}", "", "")
    if result.agreement is not None:
        table.add_row("agreement of what both scored", f"{result.agreement:.3%} of {result.compared:,}", "", "")
        table.add_row("  decisions that differ", f"{result.flips:,}", "", "")
    if result.cpu_s:  # of processes that are ours
        table.add_row("CPU of the scorers", "", *(f"{result.cpu_of(color):.1f} s" for color in COLORS))
    volumes = [result.volumes.get(color) for color in COLORS]
    table.add_row("predictions topic", "", *("" if v is None else f"{v.bytes / 1e6:.1f} MB" for v in volumes))
    table.add_row("  prediction batches", "", *("" if v is None else f"{v.records:,}" for v in volumes))
    for name, seconds in result.cpu_s.items():
        if not name.startswith("scorer"):
            table.add_row(f"CPU of the {name}", f"{seconds:.1f} s", "", "")
    for done in result.steps:
        if done.restart_s is not None:
            back = "never" if done.effect_s is None else f"{done.effect_s:.2f} s"
            table.add_row("killed publisher: runs, publishes again", f"{done.restart_s:.2f} s, {back}", "", "")
    first = result.seconds_to_first_published
    table.add_row("start to first published event", "never" if first is None else f"{first:.1f} s", "", "")
    return table
