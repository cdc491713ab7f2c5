"""`streambg preview`: what another weight would change, before it is given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from streambg.cli.common import (
    DEFAULT_PIPELINE,
    Output,
    OutputOption,
    PipelineOption,
    connected_pipeline,
    counted,
    events_of,
    print_json,
    stdout,
)
from streambg.cli.control import weight_of
from streambg.comparing.pair import terms_of
from streambg.config.values import show_weight
from streambg.control import verbs
from streambg.control.state import ControlState, Phase
from streambg.kafka import profiles
from streambg.previewing.collect import Looked, preview
from streambg.previewing.preview import Counts, Preview, gain_words
from streambg.printing import Paragraph, many, plain_table

app = typer.Typer()
# Both colors' rows of a partition stand in memory, some 500 bytes an event: 200 MB with one partition.
MAX_LAST = 400_000


@app.command("preview", epilog="Example:  streambg preview --weight 50;  streambg preview --weight 100 --last 100000")
def show(
    weight: Annotated[str, typer.Option(help="The candidate's share of the keys in percent: 10, 12.34, 0.5%")],
    last: Annotated[
        str,
        typer.Option(metavar="EVENTS", help=f"Of about so many of the newest events, {MAX_LAST:,} at the most."),
    ] = "10000",
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """How many published answers would have been others at this weight, by segment, and which decisions turn.

    From the answers that both colors gave already; nothing is scored, and nothing changes.
    """
    share, newest = weight_of(weight), events_of(last, MAX_LAST)
    config = connected_pipeline(pipeline, by_offsets=True)
    with verbs.client(config) as control:
        state = control.state()
    reader = {**profiles.reader(config, verbs.CLIENT), **verbs.QUIET}
    with counted("partitions") as progress:
        looked = preview(
            config, reader, state, terms_of(state), share, newest, verbs.partitions_of_input(config), progress
        )
    if output is Output.JSON:
        print_json({"weight": share / 100, **_where(looked), **looked.preview.as_json()})
    else:
        _print(looked, state, share)


def _where(looked: Looked) -> dict[str, Any]:
    return {
        "epoch": looked.epoch,
        "blue": looked.pair.blue,
        "green": looked.pair.green,
        "ranges": {str(partition): list(ends) for partition, ends in looked.ranges.items()},
    }


def _print(looked: Looked, state: ControlState, share: int) -> None:
    """Decisions first: bytes differ where nobody's decision does."""
    for sentence in sentences(looked.preview.whole, state, share):
        stdout.print(Paragraph(sentence, indent=0), crop=False)
    if looked.preview.segments:
        stdout.print(_segments(looked.preview))
    if not looked.preview.whole.events:
        return
    for name, gained in sorted(looked.preview.gained.items()):
        stdout.print(Paragraph(gain_words(name, gained / looked.preview.whole.events)), crop=False)
    for name, why in sorted(looked.preview.failed.items()):
        stdout.print(Paragraph((name, "yellow"), f": not counted: {why}"), crop=False)


def sentences(whole: Counts, state: ControlState, share: int) -> Iterator[str]:
    """What would be decided and published otherwise, and by whom; before, that there is no candidate."""
    second, weight = state.other_deployment, show_weight(share)
    if second is not None and state.phase is not Phase.CANDIDATE:
        was = "was live before" if state.phase is Phase.WARM else "was aborted"
        yield f"There is no candidate: this is about {second.color} {second.model}, which {was} and goes on scoring."
    if not whole.events:
        yield "No event has been answered by both colors yet."
        return
    of = f"Of the last {whole.events:,} events"
    if state.rules is not None and state.rules.decision_threshold is not None:
        turned = whole.to_yes + whole.to_no
        yield (
            f"{of}, {many(turned, 'decision')} would turn at {weight} ({_share(turned, whole)}): "
            f"{whole.to_yes:,} to yes, {whole.to_no:,} to no."
        )
    else:
        yield "No decision can turn: the pipeline declares none."
    yield (
        f"{of}, {whole.changed:,} published answers would be others at {weight} ({_share(whole.changed, whole)}), "
        "byte for byte: another score is enough."
    )
    yield (
        f"{'It' if second is None else second.color} would give {whole.candidate_then:,} answers, now "
        f"{whole.candidate_now:,}; dead letters {whole.letters_then:,}, now {whole.letters_now:,}."
    )


def _segments(found: Preview) -> Table:
    """letters: dead letters, only where there are any."""
    letters = found.whole.letters_now + found.whole.letters_then > 0
    table = plain_table("", "events", "to yes", "to no", "other\nanswers", *["dead\nletters", "now"] * letters)
    for column in table.columns[1:]:
        column.justify = "right"
    for (name, value), counts in sorted(found.segments.items()):
        numbers = [counts.events, counts.to_yes, counts.to_no, counts.changed]
        numbers += [counts.letters_then, counts.letters_now] * letters
        table.add_row(Text(f"{name}={value}"), *(f"{number:,}" for number in numbers))
    return table


def _share(part: int, whole: Counts) -> str:
    return f"{part / whole.events:.2%}"
