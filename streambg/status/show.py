"""The status on a terminal: the conclusion first, then colors, partitions, evidence, outcomes, commands, servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from streambg.comparing.told import Told
from streambg.control.state import ControlState
from streambg.looking.words import reasons
from streambg.printing import many, moment, plain_table
from streambg.records.outcome import short_digest
from streambg.records.source import COLORS, Color
from streambg.status.report import Lane, Status, Superseding, lag, pending, role


def conclusion(notes: list[str], summary: str) -> Text:
    """One line a thing to look at, or OK and what is in force."""
    if not notes:
        return Text.assemble(("OK", "bold green"), f": {summary}")
    lines = [Text.assemble(("ATTENTION", "bold yellow"), f": {note}") for note in notes]
    return Text("\n").join(lines)


def page(status: Status, notes: list[str]) -> RenderableType:
    """All of it."""
    return Group(
        conclusion(notes, status.state.summary()),
        "",
        _colors(status),
        "",
        _partitions(status),
        "",
        _evidence(status),
        *([_verdict(status.verdict)] if status.verdict is not None else []),
        *([_answers(status.live_view)] if status.live_view is not None else []),
        _outcomes(status),
        *(_superseding(each) for each in status.superseding),
        "",
        *_processes(status),
        _commands(status),
        _servers(status),
    )


def _colors(status: Status) -> RenderableType:
    """One column a color: it fits any terminal."""
    table = plain_table(f"pipeline {status.pipeline}", *COLORS)
    columns = [_color(status, color) for color in COLORS]
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    rates = status.rates
    return Group(
        table,
        Text(
            f"events/s over the last {rates.seconds:.1f} s (input {rates.input:,.0f}, settled {rates.settled:,.0f}); "
            "age (from the event's time to its scoring) and errors: of each color's last answers",
            "dim",
        ),
    )


def _color(status: Status, color: Color) -> dict[str, str]:
    deployment, recent, behind = status.state.slots[color], status.recent[color], lag(status, color)
    ages = f"{_milliseconds(recent.age_p50_ms)}, {_milliseconds(recent.age_p99_ms)}"
    return {
        "role": role(status.state, color),
        "model": deployment.model if deployment else "-",
        "digest": short_digest(deployment.digest) if deployment else "-",
        "deployment": str(deployment.id) if deployment else "-",
        "scorers": str(len(status.members[f"scorer {color}"])),
        "events/s": f"{status.rates.scored[color]:,.0f}",
        "behind": "-" if behind is None else f"{behind:,}",
        "age p50, p99": ages if recent.rows else "-",
        "errors": f"{recent.errors:,} of {recent.rows:,}" if recent.rows else "-",
    }


def _partitions(status: Status) -> Table:
    table = plain_table("partition", "input end", *COLORS, "settled", "behind", "waits", "cutover@epoch", "slot")
    for lane in status.lanes:
        table.add_row(
            str(lane.partition),
            str(lane.input_end),
            *("-" if (covered := lane.covered[color]) is None else str(covered) for color in COLORS),
            "-" if lane.settled is None else str(lane.settled),
            str(lane.behind),
            _waits(lane),
            _cutover(lane, status.state),
            lane.publisher.rpartition(".")[2] if lane.publisher else "-",
        )
    return table


def _waits(lane: Lane) -> str:
    who = f" for {', '.join(lane.waits_for)}" if lane.waits_for else ""
    return f"{lane.waits_ms / 1_000:.1f} s{who}" if lane.waits_ms else ""


def _cutover(lane: Lane, state: ControlState) -> str:
    said = f"{lane.cutover[0]}@{lane.cutover[1]}" if lane.cutover else "-"
    waiting = pending(lane, state)
    return said if waiting is None or state.epoch < 0 else f"{said}, {waiting} pending"


def _superseding(each: Superseding) -> Text:
    return Text(
        f"superseding by {each.color} {each.model} (epoch {each.epoch}): {each.passed:,} of {each.total:,} offsets, "
        f"{each.written:,} records"
    )


def _evidence(status: Status) -> Text:
    evidence = status.evidence
    if evidence is None:
        return Text("evidence: none yet; it needs two deployments that score, a comparator, and events")
    agreement = "nothing compared yet" if evidence.agreement is None else f"{evidence.agreement:.3%} agree"
    source = "" if evidence.source == "redis" else " (from the evidence topic, some seconds old)"
    return Text(
        f"evidence: compared {evidence.compared:,} answers of deployments {evidence.blue} and {evidence.green}: "
        f"{agreement}, {evidence.flips:,} decisions differ, {evidence.drift_alarms} drift alarms{source}"
    )


def _verdict(found: Told) -> Text:
    """The word and the first reason; `streambg verdict` has them all."""
    more = f" (and {len(found.reasons) - 1} more: streambg verdict)" if len(found.reasons) > 1 else ""
    return Text(f"verdict: {found.word}" + (f", {found.reasons[0]}{more}" if found.reasons else ""))


def _answers(view: Mapping[str, Any]) -> Table:
    """What the comparator's live view says of both sides since the pair began."""
    summary = view["summary"]
    table = plain_table("answers compared", "rows", "errors", "unanswered", "mean score", "age p50, p99")
    for side in ("live", "candidate"):
        color = summary[side]
        ages = color["latency_quantiles"]
        table.add_row(
            side,
            f"{color['rows']:,}",
            f"{color['errors']:,}",
            f"{color['unanswered']:,}",
            "-" if color["score_mean"] is None else f"{color['score_mean']:.4f}",
            f"{_milliseconds(ages.get('p50'))}, {_milliseconds(ages.get('p99'))}",
        )
    return table


def _outcomes(status: Status) -> Text:
    outcomes = status.outcomes
    parts = [f"{color} {why} {n:,}" for (color, why), n in outcomes.published.items()] or ["none"]
    of = "all" if outcomes.complete else "the last"
    letters = "" if outcomes.letters_complete else "at least "
    words = f"outcomes ({of} {outcomes.looked_at:,} in the output topic): {', '.join(parts)}"
    words += f"; dead letters {letters}{outcomes.letters:,}"
    if outcomes.last_letter is not None:
        whys = ", ".join(f"{color}: {reason}" for color, reason in reasons(outcomes.last_letter).items())
        words += f", the last is {outcomes.last_letter.source} ({whys})"
    if outcomes.foreign:
        words += f"; {outcomes.foreign:,} records that no publisher wrote"
    return Text(words)


def _processes(status: Status) -> list[RenderableType]:
    table = plain_table("process", "slot", "partitions", "file's rules")
    for group, members in status.members.items():
        for member in members:
            numbers = ", ".join(str(number) for number in member.partitions) or "none"
            table.add_row(group, member.slot, numbers, member.rules or "-")
    return [table] if table.row_count else []


def _commands(status: Status) -> Table:
    table = plain_table("offset", "last commands", "by", "when", "outcome")
    for command in status.commands:
        when = moment(command.appended_ms)
        outcome = Text("accepted", "green") if command.refusal is None else Text(f"refused: {command.refusal}", "red")
        table.add_row(str(command.offset), Text(command.verb or ""), Text(command.actor or ""), when, outcome)
    return table


def _servers(status: Status) -> Text:
    servers = status.servers
    redis = servers.redis_problem or "answers"
    return Text(
        f"servers: Kafka {servers.bootstrap}, {many(servers.brokers, 'broker')}, cluster {servers.cluster_id}; "
        f"Redis {servers.redis}: {redis}"
    )


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
