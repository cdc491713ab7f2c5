"""`streambg audit`: was every event answered exactly once, in order, by the right color?"""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from streambg import audit as audits
from streambg.cli.common import (
    DEFAULT_PIPELINE,
    Output,
    OutputOption,
    PipelineOption,
    load_pipeline,
    print_json,
    stderr,
    stdout,
)

app = typer.Typer()
WRONG = 1


@app.command(epilog="Example:  streambg audit --output json")
def audit(
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="End with 0 where nothing is settled yet, instead of 1.")
    ] = False,
    ignore_record: Annotated[
        list[int] | None, typer.Option(help="A control record that all processes are told to ignore; repeatable.")
    ] = None,
    uncommitted: Annotated[
        bool, typer.Option("--uncommitted", help="Judge what a read_uncommitted reader sees: aborted records too.")
    ] = False,
) -> None:
    """Prove, from the topics alone, that nothing was lost, doubled or answered wrongly.

    Judges every event from the pipeline's origin to what is settled when it begins; a pipeline may go on running.
    Exit code 0: all that could be verified is right. 1: something is wrong, or there was nothing to verify.
    """
    config = load_pipeline(pipeline)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=stderr, transient=True) as bars:
        task = bars.add_task("audit", total=None)

        def show(progress: audits.Progress) -> None:
            bars.update(
                task,
                description=f"partition {progress.partition}",
                completed=progress.passed,
                total=max(1, progress.total),
            )

        report = audits.run(
            config, progress=show, ignore_records=frozenset(ignore_record or ()), stable=not uncommitted
        )
    if output is Output.JSON:
        print_json(json.loads(report.to_json()))
    else:
        stdout.print(audits.render(report))
    if not (report.ok or (report.empty and allow_empty)):
        raise typer.Exit(WRONG)
