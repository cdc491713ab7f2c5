"""Two replays side by side: what they were asked, on what, and what came out. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from streambg.replaying.document import Report, Scored

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that both reports say, or one of them (else None)."""

    what: str
    first: Value
    second: Value

    @property
    def differs(self) -> bool:
        return self.first != self.second


@dataclass(frozen=True, slots=True)
class Part:
    """Lines of one kind: `inputs`, `counts`, or the name of a model's pair. All of them, equal ones too."""

    name: str
    lines: tuple[Line, ...]


def diff(first: Report, second: Report) -> list[Part]:
    """What went in, how many events, and by model what came out.

    Models of one name are put side by side, whatever their versions, the others in the order they were asked for.
    """
    parts = [
        Part("inputs", _lines(dict(_inputs(first)), dict(_inputs(second)))),
        Part("counts", _lines(dict(_counts(first)), dict(_counts(second)))),
    ]
    for left, right in _pairs(first, second):
        refs = dict.fromkeys(each.model.ref for each in (left, right) if each is not None)
        ours, theirs = (dict(_outcome(each)) if each is not None else {} for each in (left, right))
        parts.append(Part(" / ".join(refs), _lines(ours, theirs)))
    return parts


def as_json(parts: list[Part], *, everything: bool) -> list[dict[str, Any]]:
    """Plain values for `--output json`; everything: what is the same, too."""
    return [
        {"part": part.name, "lines": [asdict(line) for line in part.lines if everything or line.differs]}
        for part in parts
    ]


def _lines(first: dict[str, Value], second: dict[str, Value]) -> tuple[Line, ...]:
    return tuple(Line(what, first.get(what), second.get(what)) for what in dict.fromkeys([*first, *second]))


def _pairs(first: Report, second: Report) -> Iterator[tuple[Scored | None, Scored | None]]:
    """By the whole name and version, then by the name, then by their order."""
    left, right = list(first.models), list(second.models)
    for same in (_ref, _name, lambda scored: ""):
        for scored in list(left):
            match = next((each for each in right if same(each) == same(scored)), None)
            if match is not None:
                left.remove(scored)
                right.remove(match)
                yield scored, match
    yield from ((scored, None) for scored in left)
    yield from ((None, scored) for scored in right)


def _ref(scored: Scored) -> str:
    return scored.model.ref


def _name(scored: Scored) -> str:
    return scored.model.ref.partition(":")[0]


def _inputs(report: Report) -> Iterator[tuple[str, Value]]:
    asked = report.identity
    yield "pipeline", asked.pipeline
    yield "cluster", asked.cluster_id
    yield "against", asked.against
    if asked.against_model is not None:
        yield "against, digest", asked.against_model.digest
    yield "rules", asked.rules_digest
    yield "decision", report.decision
    yield "threshold", report.threshold
    yield "control log folded to", asked.epoch
    yield "as if at weight", asked.as_if_weight
    yield "labels", asked.labels
    yield from ((f"version of {name}", version) for name, version in sorted(asked.versions.items()))
    for each in asked.topics:
        place = f"{each.role} {each.topic}/{each.partition}"
        yield f"{place} from", each.start
        yield f"{place} to", each.end
        yield f"{place} id", each.topic_id


def _counts(report: Report) -> Iterator[tuple[str, Value]]:
    counts = report.counts
    yield "events", counts.events
    yield "first event", counts.first_ms
    yield "last event", counts.last_ms
    yield "republished on purpose", counts.supersedes
    yield "offsets not compared", sum(hole.offsets for hole in counts.holes)
    yield from ((f"came to {name}", count) for name, count in sorted(counts.came.items()))


def _outcome(scored: Scored) -> Iterator[tuple[str, Value]]:
    yield "model", scored.model.ref
    yield "digest", scored.model.digest
    yield from ((f"runs on {name}", version) for name, version in sorted(scored.model.runtime.items()))
    yield "verdict", scored.verdict.word
    yield "coverage", scored.verdict.coverage
    yield "proof", scored.proof.word
    both = scored.agreement
    yield "compared", both.compared
    yield "agree", both.agree
    yield "become yes", both.flips_to_yes
    yield "become no", both.flips_to_no
    yield "same bytes published", both.values_equal
    yield "no answer", scored.scores.errors
    yield "mean score", scored.scores.score_mean
    yield "mean difference", both.difference_mean
    for each in scored.metrics:
        where = f" in {each.field}={each.value}" if each.field else ""
        yield f"{each.metric}{where}, mean", each.mean
        yield f"{each.metric}{where}, events", each.events
    for test in scored.verdict.tests:
        yield f"{test.name}, ln e good enough", test.log_good
        yield f"{test.name}, ln e harm", test.log_harm
