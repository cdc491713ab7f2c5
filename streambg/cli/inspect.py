"""`streambg inspect`: one event, from the input record to its outcome, and why; or outcomes as they come."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any

import typer
from rich.text import Text

from streambg.cli.common import (
    DEFAULT_PIPELINE,
    Output,
    OutputOption,
    PipelineOption,
    connected_pipeline,
    counted,
    load_pipeline,
    print_json,
    since_of,
    stderr,
    stdout,
)
from streambg.config import Pipeline
from streambg.control import verbs
from streambg.errors import ConfigError, StreambgError
from streambg.kafka import profiles
from streambg.kafka.reading import LogReader
from streambg.looking.answers import Held
from streambg.looking.collect import CLIENT, Scenery
from streambg.looking.event import Answered, Event, Letter, Published, as_json, status_words
from streambg.looking.following import follow as outcomes
from streambg.looking.scanning import ByField, Match, Scanned, by_key, scan
from streambg.looking.words import as_fields, reasons, show, show_time
from streambg.printing import Paragraph, moment
from streambg.records.outcome import short_digest
from streambg.records.source import COLORS, Color, Source, parse_source

app = typer.Typer()
# Each event costs some 100 looks at single records.
MOST = 1_000
# More names than these are no help to somebody who mistyped one.
MOST_FIELDS = 40


@app.command(epilog="Example:  streambg inspect sensors/3@6821")
def inspect(
    position: Annotated[str | None, typer.Argument(help="topic/partition@offset of the event in the input.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Events of this record key, the newest.")] = None,
    field: Annotated[str | None, typer.Option("--field", help="Events with this field: event_id=e-17.")] = None,
    last: Annotated[int, typer.Option("--last", min=1, max=MOST, help="With --key, --field: how many.")] = 1,
    since: Annotated[
        str, typer.Option("--since", help="With --key, --field: how far back; 90s, 2h, 7d or 2026-11-27T14:30.")
    ] = "1d",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Outcomes as they come, until Ctrl-C.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Values as they are: nothing cut, nothing masked.")] = False,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """One event: the input record, what both colors said, what came out, and why.

    A position is found at once; --key and --field read the input from --since on. With --follow one line an outcome
    (JSON lines with --output json); --key then shows only that key's.
    """
    if follow:
        if position is not None or field is not None:
            raise ConfigError("--follow shows all outcomes, or those of a --key", way_out="leave the rest out")
        _follow(connected_pipeline(pipeline, "audit", by_offsets=True), key, full, output)
        return
    if sum(given is not None for given in (position, key, field)) != 1:
        raise ConfigError(
            "one event is asked for by its position, --key or --field",
            way_out="streambg inspect sensors/3@6821, or --key m1, or --field event_id=e-17",
        )
    since_ms, source = since_of(since), None if position is None else source_of(position)
    config = load_pipeline(pipeline)
    with Scenery(config) as scenery:
        scanned: Scanned | None = None
        if source is not None:
            sources: tuple[Source, ...] = (source,)
        else:
            match = _match(config, key, field)
            scanned = _scan(config, scenery.partitions, match, since_ms, last)
            sources = scanned.found
            _require_field(match, scanned)
        events = [scenery.event(source) for source in sources]
    _print(events, scanned, since_ms, full, output)


def source_of(text: str) -> Source:
    """Raises ConfigError where it is no position."""
    try:
        return parse_source(text)
    except ValueError as error:
        raise ConfigError(str(error), way_out="for example sensors/3@6821") from None


def _match(config: Pipeline, key: str | None, field: str | None) -> Match:
    if key is not None:
        return by_key(key.encode())
    name, is_pair, value = (field or "").partition("=")
    if not is_pair or not name:
        raise ConfigError(f"{field!r} is no field", way_out="--field NAME=VALUE, for example --field event_id=e-17")
    return ByField(config, name, value)


def _require_field(match: Match, scanned: Scanned) -> None:
    """Raises StreambgError where no event that was read has such a field."""
    if isinstance(match, ByField) and match.seen and match.name not in match.seen:
        raise StreambgError(
            f"none of {scanned.looked:,} events has a field {match.name!r}",
            way_out=f"their fields are {', '.join(sorted(match.seen)[:MOST_FIELDS])}",
        )


def _scan(config: Pipeline, partitions: int, match: Match, since_ms: int, last: int) -> Scanned:
    reader = {**profiles.reader(config, CLIENT), **verbs.QUIET}
    with counted("reading the input") as progress, LogReader(reader) as log:
        return scan(log, config, partitions, since_ms, match, last, progress)


def _print(events: list[Event], scanned: Scanned | None, since_ms: int, full: bool, output: Output) -> None:
    if scanned is not None:
        looked = f"{scanned.looked:,} records of the input since {moment(since_ms)}"
        if not events:
            raise StreambgError(f"no such event among {looked}", way_out="look further back: --since 7d")
        more = f"; the newest {len(events)} of {scanned.matches:,} matches" if scanned.matches > len(events) else ""
        stderr.print(f"looked at {looked}{more}", highlight=False, soft_wrap=True)
    if output is Output.JSON:
        shown = [as_json(event, full=full) for event in events]
        print_json(shown[0] if scanned is None else shown)
        return
    for event in events:
        _show(event, full)


# -- one event, as text ------------------------------------------------------------------------------------------------


# Where the text behind `outcome` begins.
INDENT = 9


def _show(event: Event, full: bool) -> None:
    for parts in _lines(event, full):
        if full:  # as it is, to be copied: no line of ours is broken in it
            stdout.print(Text.assemble(*parts), soft_wrap=True)
        else:
            stdout.print(Paragraph(*parts, indent=INDENT), crop=False)


def _lines(event: Event, full: bool) -> Iterator[tuple[str | tuple[str, str], ...]]:
    wrong = event.status == "lost" or event.why.doubt
    color = "red" if wrong else "green" if event.status == "published" else "yellow"
    yield (str(event.source), "bold"), " ", (status_words(event), color)
    yield (f"why      {event.why.text}",)
    if wrong:
        yield ("ATTENTION", "red"), f" {event.why.doubt}: `streambg audit` judges it"
    yield (f"input    {_input(event, full)}",)
    if event.span is not None:
        upto = f"to {event.span.upto}" if event.span.upto is not None else "on"
        yield (f"epoch    {event.span.epoch}, which decides from {event.span.first} {upto}",)
    yield (f"outcome  {_outcome(event.outcome, full)}",)
    for again in event.superseded:
        yield (f"then     {_outcome(again, full)}",)
    if event.answers is not None:
        for each in COLORS:
            yield tuple(_answer(each, event.answers[each], full))


def _input(event: Event, full: bool) -> str:
    given = event.given
    if given is None:
        return event.input_words
    return f"{moment(given.time_ms, fine=True)} key {show(given.key, full=full)} value {show(given.value, full=full)}"


def _outcome(outcome: Published | Letter | None, full: bool) -> str:
    match outcome:
        case Published():
            value = show(outcome.value, full=full)
            at = moment(outcome.time_ms, fine=True)
            return f"output record {outcome.offset}, {at}: {value}\nheader {outcome.header}"
        case Letter():
            whys = "; ".join(f"{color}: {reason}" for color, reason in reasons(outcome.letter).items())
            return f"dead letter {outcome.offset}, {moment(outcome.time_ms, fine=True)}: {whys}"
        case _:
            return "none"


def _answer(color: Color, answered: Answered, full: bool) -> Iterator[str | tuple[str, str]]:
    """What one color said, and by whom; under it when, and where that stands in its log."""
    deployment, row = answered.deployment, answered.row
    yield f"{color:7}  "
    if deployment is not None:
        yield f"{deployment.model} {short_digest(deployment.digest)} (deployment {deployment.id}): "
    if row is None:
        yield answered.reply.words(color)
    else:
        yield (answered.reply.said, "green" if row.ok else "red")
        yield f" {show(row.value, full=full)}"
        scores = f"scores {' '.join(f'{score:.6g}' for score in row.scores)}, " if row.ok else ""
        yield f"\n{scores}scored {moment(row.scored_at, fine=True)}"
    if answered.held:
        batches = (_held(each, each in answered.replaced) for each in answered.held)
        yield f"\nbatches (after, upto]@log: {', '.join(batches)}"


def _held(held: Held, replaced: bool) -> str:
    sample = " sample" if held.head.sample else ""
    of = f" of deployment {held.head.deployment}" if replaced else ""
    return f"({held.head.after}, {held.head.upto}]@{held.log_offset} {held.verdict.value}{sample}{of}"


# -- outcomes as they come ---------------------------------------------------------------------------------------------


def _follow(config: Pipeline, key: str | None, full: bool, output: Output) -> None:
    wanted = key.encode() if key is not None else None

    def began() -> None:
        stderr.print(f"outcomes of {config.name} from now on; Ctrl-C ends", highlight=False, soft_wrap=True)

    # nobody reads any more (`| head`)
    with suppress(BrokenPipeError):
        for outcome in outcomes(config, began):
            if wanted is None or outcome.key == wanted:
                _say(outcome, full, output)


def _say(outcome: Published | Letter, full: bool, output: Output) -> None:
    """One line, at once; not through rich, which would wrap it."""
    if output is Output.JSON:
        text = json.dumps(_as_line(outcome, full), ensure_ascii=False)
    else:
        clock = time.strftime("%H:%M:%S", time.localtime(outcome.time_ms / 1_000))
        text = f"{clock} {_words(outcome, full)}"
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _words(outcome: Published | Letter, full: bool) -> str:
    key = show(outcome.key, full=full)
    if isinstance(outcome, Letter):
        letter = outcome.letter
        whys = "; ".join(f"{color}: {reason}" for color, reason in reasons(letter).items())
        return f"{letter.source} dead letter epoch={letter.epoch} key={key} {whys}"
    return f"{outcome.header} key={key} {show(outcome.value, full=full)}"


def _as_line(outcome: Published | Letter, full: bool) -> dict[str, Any]:
    at = {"time": show_time(outcome.time_ms), **as_fields("key", outcome.key)}
    if isinstance(outcome, Letter):
        letter = outcome.letter
        said = {"chosen": letter.chosen, "reasons": dict(letter.reasons)}
        return {"source": str(letter.source), "kind": "dead letter", "epoch": letter.epoch, **at, **said}
    stamped = outcome.outcome
    value = as_fields("value", outcome.value) if full else {"value": show(outcome.value)}
    told = {"color": stamped.color, "model": stamped.model, "why": stamped.why}
    return {"source": str(stamped.source), "kind": "output", "epoch": stamped.epoch, **at, **told, **value}
