"""`streambg replay list`, `show`, `diff`: replays that were made, from their files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text

from streambg.cli.common import Output, OutputOption, print_json, stdout
from streambg.cli.registry import check_there
from streambg.printing import plain_table
from streambg.replaying import diff as diffing
from streambg.replaying import shelf, words
from streambg.replaying.document import Report, Scored
from streambg.replaying.found import MetricRow
from streambg.replaying.shelf import Kept, Unread

COLORS_OF_WORDS = {"promote": "green", "abort": "red", "continue": "yellow", "inconclusive": "yellow"}
# Means and their limits in hundredths of a metric's range.
METRICS = ("metric", "events", "mean, points", "95 % between", "margin", "harm beyond")
app = typer.Typer()

FolderOption = Annotated[Path, typer.Option("--dir", help="Where replays are kept.")]


def complete_id(ctx: typer.Context, incomplete: str) -> list[str]:
    """The replays below --dir."""
    names = (each.folder.name for each in shelf.kept(Path(ctx.params.get("folder") or shelf.FOLDER)))
    return [name[: words.SHORT] for name in names if name.startswith(incomplete)]


def _there(folder: Path) -> Path:
    """The folder to look into; the default one comes with the first replay. Raises ConfigError."""
    if folder != shelf.FOLDER or folder.exists():
        check_there(folder, "--dir")
    return folder


def _id_argument(help_text: str) -> Any:
    return typer.Argument(metavar="ID", help=help_text, autocompletion=complete_id, show_default=False)


@app.command("list", epilog="Example:  streambg replay list --dir replays")
def list_(folder: FolderOption = shelf.FOLDER, output: OutputOption = Output.TEXT) -> None:
    """The replays that were made, the newest first: when, of which model, against what, and the verdict."""
    found = shelf.kept(_there(folder))
    if output is Output.JSON:
        print_json([_plain(each) for each in found])
        return
    table = plain_table("id", "when", "model", "against", "events", "verdict")
    for each in found:
        if isinstance(each, Kept):
            for row in _rows(each):
                table.add_row(*row)
    if table.row_count:
        stdout.print(table)
    for each in found:
        if isinstance(each, Unread):
            _say(Text(f"{each.folder.name[: words.SHORT]}  {each.why}", "yellow"))
    if not found:
        _say(f"No replays in {folder}.")


def _rows(each: Kept) -> Iterator[tuple[Text, ...]]:
    """One a model."""
    short = Text(each.folder.name[: words.SHORT])
    when = Text(words.time_words(shelf.begun_ms(each)).removesuffix(" UTC"))
    for scored in each.report.models:
        yield (
            short,
            when,
            Text(scored.model.ref),
            Text(each.report.identity.against),
            Text(f"{each.report.counts.events:,}", justify="right"),
            _word(scored),
        )
        short, when = Text(""), Text("")


def _word(scored: Scored) -> Text:
    return Text(scored.verdict.word, COLORS_OF_WORDS[scored.verdict.word])


def _plain(each: Kept | Unread) -> dict[str, Any]:
    plain: dict[str, Any] = {"id": each.folder.name, "folder": str(each.folder)}
    if isinstance(each, Unread):
        return plain | {"unread": each.why}
    return plain | {
        "started_ms": shelf.begun_ms(each),
        "against": each.report.identity.against,
        "events": each.report.counts.events,
        "models": [
            {"model": scored.model.ref, "verdict": scored.verdict.word, "exit_code": scored.verdict.exit_code}
            for scored in each.report.models
        ],
    }


@app.command(epilog="Example:  streambg replay show;  streambg replay show 3fa1 --html")
def show(
    replay: Annotated[str | None, _id_argument("The replay's id, or its beginning; without it the newest.")] = None,
    html: Annotated[
        bool, typer.Option("--html", help="Write the page with this run's timing; print its path.")
    ] = False,
    folder: FolderOption = shelf.FOLDER,
    output: OutputOption = Output.TEXT,
) -> None:
    """One replay: its verdict and why, what changes for whom, how sure that is. --output json prints its report."""
    found = shelf.newest(_there(folder)) if replay is None else shelf.find(_there(folder), replay)
    if html:
        page = found.page()
        if output is Output.JSON:
            print_json({"page": str(page)})
        else:
            typer.echo(page)
    elif output is Output.JSON:
        print_json(msgspec.to_builtins(found.report))
    else:
        print_report(found.report)
        if found.timing is not None:
            _say(f"\n{words.timing_sentence(found.timing)}")
        print_where(found.folder)


def print_report(report: Report) -> None:
    """For a terminal."""
    against = words.against_words(report.identity.against)
    _say(f"Replay {report.id[: words.SHORT]} of {report.identity.pipeline}: {words.range_words(report.counts)}")
    for hole in report.counts.holes:
        _say(f"  partition {hole.partition}, {hole.offsets:,} of {hole.first} to {hole.end - 1}: {hole.what}")
    for scored in report.models:
        _say(f"\n{scored.model.ref} against {against}: ", _word(scored))
        for text in (words.verdict_sentence(report, scored), *scored.verdict.reasons):
            _say(f"  {text}")
        for title, said in (
            ("What changes for whom", words.changes(report, scored)),
            ("How sure this is", words.certainty(scored)),
        ):
            _say(f"{title}:")
            for text in said:
                _say(f"  {text}")
        _print_table(METRICS, (_metric(each) for each in scored.metrics))


def _metric(each: MetricRow) -> tuple[str, ...]:
    name = f"{each.metric} in {each.field}={each.value}" if each.field else each.metric
    limits = ["-" if share is None else f"{share * 100:g}" for share in (each.margin, each.harm_beyond)]
    if each.mean is None:
        return name, f"{each.events:,}", "-", "-", *limits
    shares = f"{each.mean * 100:+.2f}", f"{each.low * 100:+.2f} to {each.high * 100:+.2f}"
    return name, f"{each.events:,}", *shares, *limits


def _print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = plain_table(*head)
    for row in rows:
        table.add_row(*map(Text, row))
    stdout.print(table)


def _say(*parts: str | Text) -> None:
    stdout.print(Text.assemble(*parts), soft_wrap=True)


def print_where(folder: Path) -> None:
    """Where a replay's files are, and how to see the page."""
    _say(f"\nIn {folder}; the page: streambg replay show {folder.name[: words.SHORT]} --dir {folder.parent} --html")


@app.command("diff", epilog="Example:  streambg replay diff 3fa1 9c04")
def diff_(
    first: Annotated[str, _id_argument("The replay to begin with.")],
    second: Annotated[str, _id_argument("The replay to compare with it.")],
    everything: Annotated[bool, typer.Option("--all", help="Also what is the same.")] = False,
    folder: FolderOption = shelf.FOLDER,
    output: OutputOption = Output.TEXT,
) -> None:
    """What differs between two replays: ranges, models, verdicts, metrics side by side. A difference is no error."""
    pair = shelf.find(_there(folder), first), shelf.find(folder, second)
    parts = diffing.diff(pair[0].report, pair[1].report)
    if output is Output.JSON:
        print_json(
            {
                "first": pair[0].report.id,
                "second": pair[1].report.id,
                "parts": diffing.as_json(parts, everything=everything),
            }
        )
        return
    if pair[0].report.id == pair[1].report.id:
        _say("Both are the same replay.")
    for part in parts:
        lines = [line for line in part.lines if everything or line.differs]
        if not lines:
            _say(f"{part.name}: the same")
            continue
        names = (part.name, *(each.report.id[: words.SHORT] for each in pair))
        _print_table(names, ((line.what, _cell(line.first), _cell(line.second)) for line in lines))


def _cell(value: diffing.Value) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "-" if value is None else f"{value:,}" if type(value) is int else str(value)
