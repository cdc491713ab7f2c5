"""Faults on a real broker: `python -m chaos [--only ROW] [--size short|scaled|full] [--report docs/reliability.md]`.

Each row's result is kept, so a run that was stopped goes on where it was; rows that failed are run again, and those
that `--only` names.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from chaos.needs import lacking
from chaos.report import write
from chaos.running import play
from chaos.scenario import ALL, FULL, SCALED, SHORT
from chaos.table import HEAD, SIZES, Result, broken_off, cells
from streambg.process import logs

RESULTS = Path("build/chaos.jsonl")
COUNTS = dict(zip(SIZES, (SHORT, SCALED, FULL), strict=True))
console = Console()


def main() -> int:
    options = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    options.add_argument(
        "--only", action="append", default=[], metavar="ROW", help="a row, or all of a letter; may be given again"
    )
    options.add_argument("--size", choices=SIZES, default="scaled", help="how many injections, how many events")
    options.add_argument("--again", action="store_true", help="also the rows that have succeeded in this size before")
    options.add_argument("--seed", type=int, default=int(time.time()), help="of the faults; printed, so it replays")
    options.add_argument("--results", type=Path, default=RESULTS, help=f"JSON lines, one a run ({RESULTS})")
    options.add_argument("--logs", type=Path, help="keep each row's files here: its processes' logs, its pipeline")
    options.add_argument("--report", type=Path, help="renew the rows of the table in this page")
    chosen = options.parse_args()
    logs.configure("chaos", console=True, level="error")  # what the verbs' clients go through is the fault itself
    unknown = [word for word in chosen.only if not rows(word)]
    if unknown:
        options.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    kept = chosen.logs.resolve() if chosen.logs is not None else None
    results, commit = _done(chosen.results), _commit()
    wanted = list(dict.fromkeys(row for word in chosen.only for row in rows(word)))
    done = {row: result for result in results for row in [result.row] if result.size == chosen.size}
    due = wanted or [row for row in ALL if chosen.again or row not in done or not done[row].ok]
    console.print(f"seed {chosen.seed}, size {chosen.size}, commit {commit}: {len(due)} of {len(ALL)} rows")
    if len(due) < len(ALL) and not wanted:
        console.print(f"the others stand in {chosen.results}; --again runs them, too")
    for row, words in lacking(due):
        console.print(f"{row} will fail: {words}", highlight=False, markup=False)
    for number, row in enumerate(due, 1):
        console.print(f"{row} ({number} of {len(due)}): {ALL[row].fault} ...")
        played = _played(row, COUNTS[chosen.size], chosen.seed, kept)
        done[row] = replace(played, size=chosen.size, commit=commit, day=f"{datetime.now(UTC):%Y-%m-%d}")
        results.append(done[row])
        console.print(f"  {', '.join(cells(done[row])[2:])}", highlight=False)
        chosen.results.parent.mkdir(parents=True, exist_ok=True)
        with chosen.results.open("a") as lines:
            lines.write(json.dumps(done[row].as_json()) + "\n")
        if chosen.report is not None:
            write(chosen.report, results)  # after each row: an hour without an interruption is rare
    shown = [done[row] for row in ALL if row in (wanted or done)]
    console.print(_table(shown))
    failed = [result.row for result in shown if not result.ok]
    took_min = sum(result.took_s for result in shown) / 60
    console.print(f"{len(shown)} rows, {took_min:.0f} min in all, {len(failed)} failed: {', '.join(failed) or '-'}")
    return 1 if failed else 0


def rows(word: str) -> list[str]:
    """The row of that name, or the rows whose letter it is."""
    return [row for row in ALL if word in (row, row[0])]


def _played(row: str, size: int, seed: int, kept: Path | None) -> Result:
    """A row that cannot be run has failed; the others are run all the same."""
    began = time.monotonic()
    try:
        result = play(row, size, seed, kept)
    except Exception as error:  # of a client of the row's own, too: the other rows have a right to their run
        console.print_exception()
        result = broken_off(row, ALL[row].fault, (str(error) or type(error).__name__).splitlines()[0])
    return replace(result, took_s=round(time.monotonic() - began, 1))


def _commit() -> str:
    """What is run, as git names it; empty outside of a checkout."""
    asked = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(asked, capture_output=True, text=True, cwd=Path(__file__).parent, check=False).stdout.strip()


def _done(file: Path) -> list[Result]:
    if not file.exists():
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
