"""What the gate is worth: `python -m decisions [--only QUESTION] [--streams N] [--output json]`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from decisions import pictures
from decisions.questions import QUESTIONS, Answer, Size

console, errors = Console(), Console(stderr=True)


def main() -> int:
    options = argparse.ArgumentParser(
        prog="make statistics",
        description=__doc__,
        epilog='Example:  make statistics ARGS="--only delay --streams 400"',
    )
    options.add_argument("--only", action="append", default=[], choices=list(QUESTIONS), help="may be given again")
    options.add_argument("--streams", type=int, default=Size().streams, help="of each question")
    options.add_argument("--events", type=int, default=Size().events, help="that a share is measured over")
    options.add_argument("--seed", type=int, default=1, help="the same seed gives the same table")
    options.add_argument("--output", choices=["text", "json"], default="text")
    options.add_argument("--pictures", type=Path, metavar="FOLDER", help="draw those of docs/decisions.md, and end")
    chosen = options.parse_args()
    if chosen.pictures is not None:
        for file in pictures.write(chosen.pictures):
            errors.print(f"written: {file}")
        return 0
    answers = []
    for name in chosen.only or list(QUESTIONS):
        began = time.monotonic()
        rng = np.random.default_rng([chosen.seed, list(QUESTIONS).index(name)])
        answers += QUESTIONS[name](rng, Size(chosen.streams, chosen.events))
        errors.print(f"{name}: {time.monotonic() - began:.0f} s", highlight=False)
    if chosen.output == "json":
        sys.stdout.write(
            json.dumps([{**asdict(answer), "reached": answer.reached} for answer in answers], indent=2) + "\n"
        )
    else:
        console.print(_table(answers))
    return 0 if all(answer.reached for answer in answers) else 1


def _table(answers: list[Answer]) -> Table:
    table = Table("question", "others", "this gate", "95 % bound", "must reach", "")
    for answer in answers:
        limit, reached = "-", ""
        if answer.limit is not None:
            limit = f"{'>=' if answer.lower else '<='} {_shown(answer.limit, answer)}"
            reached = "ok" if answer.reached else "MISSED"
        value, bound = _shown(answer.value, answer), _shown(answer.bound, answer)
        table.add_row(answer.question, answer.others, value, bound, limit, reached)
    return table


def _shown(value: float, answer: Answer) -> str:
    return f"{value:.2%}" if answer.limit is not None and answer.limit < 1 else f"{value:,.0f}"


if __name__ == "__main__":
    sys.exit(main())
