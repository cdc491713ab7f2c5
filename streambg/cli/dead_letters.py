"""`streambg dead-letters`: the events that no color could answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

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
from streambg.cli.inspect import source_of
from streambg.config import Pipeline
from streambg.control import verbs
from streambg.errors import StreambgError
from streambg.kafka import profiles
from streambg.kafka.reading import LogReader
from streambg.looking import letters
from streambg.looking.collect import CLIENT, Scenery
from streambg.looking.event import Letter
from streambg.looking.words import reasons, show
from streambg.printing import Paragraph, many, moment
from streambg.records.source import COLORS

app = typer.Typer(
    help="Events that no color could answer: count, list, show, export.",
    no_args_is_help=True,
    epilog="Example:  streambg dead-letters list --last 5",
)
SinceOption = Annotated[
    str | None, typer.Option("--since", help="Written since: 90s, 2h, 7d or 2026-11-27T14:30. Default: all there are.")
]


def _log(config: Pipeline) -> LogReader:
    return LogReader({**profiles.reader(config, CLIENT), **verbs.QUIET})


@app.command("list", epilog="Example:  streambg dead-letters list --since 1d --last 50")
def list_(
    last: Annotated[int, typer.Option("--last", min=1, max=10_000, help="How many, the newest last.")] = 20,
    since: SinceOption = None,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """How many there are for which reason, and the newest ones."""
    since_ms = since_of(since) if since is not None else 0
    config = connected_pipeline(pipeline, "audit", by_offsets=True)
    partitions = verbs.partitions_of_input(config)
    with counted("reading the dead letters") as progress, _log(config) as log:
        found = letters.find(log, config, partitions, since_ms, last, progress)
    total = sum(found.counts.values())
    if output is Output.JSON:
        counts = [{"chosen": c, "reason": reason, "count": n} for (c, reason), n in found.counts.most_common()]
        lines = [letters.line(letter, {}) for letter in found.letters]
        print_json({"total": total, "foreign": found.foreign, "counts": counts, "letters": lines})
        return
    if found.foreign:
        foreign = f"{many(found.foreign, 'record')} here that no publisher of ours wrote"
        stdout.print(Paragraph((foreign, "yellow"), ": `streambg audit` judges them"), crop=False)
    if not total:
        stdout.print("no dead letters")
        return
    stdout.print(f"{many(total, 'dead letter')} of {config.name}", highlight=False, soft_wrap=True)
    for (color, reason), count in found.counts.most_common():
        stdout.print(Paragraph(f"{count:>9,}  {color:5}  {reason}", indent=18), crop=False)
    stdout.print(f"the newest {len(found.letters):,}, the last one last:", highlight=False)
    for letter in found.letters:
        stdout.print(_lines(letter), crop=False)


def _lines(letter: Letter) -> Paragraph:
    """The event, which `show` takes, then what each color said of it."""
    said = letter.letter
    about = f"  {moment(letter.time_ms)}  epoch {said.epoch}  key {show(letter.key)}"
    whys = "".join(f"\n{color:5}  {reasons(said).get(color, 'not asked')}" for color in COLORS)
    return Paragraph((str(said.source), "bold"), about, whys)


@app.command("show", epilog="Example:  streambg dead-letters show sensors/3@6821")
def show_(
    position: Annotated[str, typer.Argument(help="topic/partition@offset of the event in the input.")],
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """One letter, and the whole event as it stands in the input."""
    source = source_of(position)
    with Scenery(load_pipeline(pipeline)) as scenery:
        scenery.belongs(source)
        letter = scenery.outcome(source, None)
        if not isinstance(letter, Letter):
            what = "its answer was published" if letter is not None else "nothing came out of it (yet)"
            raise StreambgError(f"{source} is no dead letter: {what}", way_out=f"streambg inspect {source}")
        event = letters.Events(scenery.log, source.topic, scenery.floors).fields(letter.letter)
    line = letters.line(letter, event)
    if output is Output.JSON:
        print_json(line)
        return
    about = f" dead letter {letter.offset} under epoch {letter.letter.epoch}, {moment(letter.time_ms)}"
    stdout.print(Paragraph((str(source), "bold"), about), crop=False)
    for color, reason in reasons(letter.letter).items():
        chosen = " (chosen)" if color == letter.letter.chosen else ""
        stdout.print(Paragraph(f"{color}{chosen}: {reason}"), crop=False)
    # as it is, to be copied: no line of ours is broken in it
    stdout.print(f"key: {escape(show(letter.key, full=True))}", highlight=False, soft_wrap=True)
    stdout.print(f"value: {escape(_value(event))}", highlight=False, soft_wrap=True)


def _value(event: dict[str, Any]) -> str:
    if "gone" in event:
        return str(event["gone"])
    if "value_base64" in event:
        return f"base64 {event['value_base64']}"
    return "null" if event["value"] is None else str(event["value"])


@app.command(epilog="Example:  streambg dead-letters export letters.jsonl --since 1d")
def export(
    file: Annotated[Path, typer.Argument(help="One JSON line a letter, with the event's bytes from the input.")],
    since: SinceOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the file if it exists.")] = False,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write the letters with their events to a file: text, or base64 where the bytes are no text.

    The file is whole or not there; what is no longer in the input says so (`gone`).
    """
    since_ms = since_of(since) if since is not None else 0
    letters.check_free(file, replace)
    config = load_pipeline(pipeline)
    with Scenery(config) as scenery, counted("exporting") as progress, _log(config) as log:
        events = letters.Events(scenery.log, config.input.topic, scenery.floors)
        written, gone = letters.export(
            file, log, events, config, scenery.partitions, since_ms, progress, replace=replace
        )
    if output is Output.JSON:
        print_json({"file": str(file), "letters": written, "gone": gone})
        return
    lost = f"; the events of {gone:,} are no longer in the input" if gone else ""
    stderr.print(f"{many(written, 'letter')} in {file}{lost}", highlight=False, soft_wrap=True)
