"""What was measured, one JSON file a contender, so that a run in pieces adds up to one table."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.peers.peer import GUARANTEES, ROWS, Guarantee, Row


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was measured."""

    cpus: int
    memory_gib: int
    system: str
    processor: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of one contender under one guarantee: its figures, or why there are none."""

    at: str
    version: str
    quick: bool
    figures: Mapping[str, Any] | None
    error: str | None = None


@dataclass(slots=True)
class Found:
    """All cells of one contender."""

    name: str
    cells: dict[tuple[Guarantee, Row], Cell] = field(default_factory=dict)

    def figures(self, guarantee: Guarantee, row: Row) -> Mapping[str, Any] | None:
        cell = self.cells.get((guarantee, row))
        return cell.figures if cell else None


def machine() -> Machine:
    """As it is here and now."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        if line.startswith("model name")
    ]
    cpus = len(os.sched_getaffinity(0))
    return Machine(cpus, round(memory / 2**30), f"{platform.system()} {platform.release()}", names[0] if names else "")


def now() -> str:
    """To the minute, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def read(folder: Path, name: str) -> Found:
    """What is known of a contender; empty where nothing is."""
    file = folder / f"{name}.json"
    found = Found(name)
    if file.is_file():
        for key, cell in json.loads(file.read_text(encoding="utf-8"))["cells"].items():
            guarantee, _, row = key.partition("/")
            if guarantee in GUARANTEES and row in ROWS:
                found.cells[guarantee, row] = Cell(**cell)
    return found


def write(folder: Path, found: Found) -> None:
    """Replace the contender's file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{found.name}.json"
    part = file.with_suffix(".part")
    part.write_text(json.dumps(as_json(found), indent=2) + "\n", encoding="utf-8")
    part.replace(file)


def as_json(found: Found) -> dict[str, Any]:
    """{name, cells: {"exactly-once/hop": {at, version, quick, figures, error}}}"""
    cells = {f"{guarantee}/{row}": asdict(cell) for (guarantee, row), cell in found.cells.items()}
    return {"name": found.name, "cells": cells}
