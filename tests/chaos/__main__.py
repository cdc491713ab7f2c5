"""Faults on a real broker: `python -m chaos [--only ROW] [--size short|scaled|full] [--report docs/reliability.md]`."""

from __future__ import annotations

import argparse
import json
import string
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from chaos.report import write
from chaos.running import play
from chaos.scenario import ALL, FULL, SCALED, SHORT
from chaos.table import HEAD, Result, broken_off, cells
from streambg.errors import StreambgError

SIZES = {"short": SHORT, "scaled": SCALED, "full": FULL}
console = Console()


def main() -> int:
    options = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    options.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="ROW",
        help="a row, or all of a letter; may be given again",
    )
    options.add_argument("--size", choices=list(SIZES), default="scaled", help="how many injections, how many events")
    options.add_argument("--seed", type=int, default=int(time.time()), help="of the faults; printed, so it replays")
    options.add_argument("--results", type=Path, help="JSON lines; a row that stands there in this size is left out")
    options.add_argument("--logs", type=Path, help="keep each row's files here: its processes' logs, its pipeline")
    options.add_argument("--report", type=Path, help="write the table into this page")
    chosen = options.parse_args()
    unknown = [word for word in chosen.only if not rows(word)]
    if unknown:
        options.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    wanted = dict.fromkeys(row for word in chosen.only or list(ALL) for row in rows(word))
    results = [result for result in _done(chosen.results) if result.size == chosen.size]
    commit = _commit()
    logs = chosen.logs.resolve() if chosen.logs is not None else None
    console.print(f"seed {chosen.seed}, size {chosen.size}, commit {commit}")
    for row in wanted:
        if any(result.row == row for result in results):
            continue
        console.print(f"{row}: {ALL[row].fault} ...")
        result = replace(_played(row, SIZES[chosen.size], chosen.seed, logs), size=chosen.size, commit=commit)
        results.append(result)
        console.print(f"  {', '.join(cells(result)[2:])} ({result.took_s:.0f} s)", highlight=False)
        if chosen.results is not None:
            chosen.results.parent.mkdir(parents=True, exist_ok=True)
            with chosen.results.open("a") as lines:
                lines.write(json.dumps(result.as_json()) + "\n")
    console.print(_table(results))
    if chosen.report is not None:
        write(chosen.report, results, chosen.size, chosen.seed)
    return 0 if all(result.ok for result in results) else 1


def rows(word: str) -> list[str]:
    """The row of that name, or the rows whose letter it is."""
    return [row for row in ALL if word in (row, row.rstrip(string.digits))]


def _played(row: str, size: int, seed: int, logs: Path | None) -> Result:
    """A row that cannot be run has failed; the others are run all the same."""
    began = time.monotonic()
    try:
        result = play(row, size, seed, logs)
    except (AssertionError, StreambgError) as error:
        console.print_exception()
        result = broken_off(row, ALL[row].fault, str(error).splitlines()[0])
    return replace(result, took_s=round(time.monotonic() - began, 1))


def _commit() -> str:
    """What is run, as git names it; empty outside of a checkout."""
    asked = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(asked, capture_output=True, text=True, cwd=Path(__file__).parent, check=False).stdout.strip()


def _done(file: Path | None) -> list[Result]:
    if file is None or not file.exists():
        return []
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [Result(**{name: value for name, value in row.items() if name != "ok"}) for row in rows]


def _table(results: list[Result]) -> Table:
    table = Table(*HEAD)
    for result in results:
        table.add_row(*cells(result))
    return table


if __name__ == "__main__":
    sys.exit(main())
