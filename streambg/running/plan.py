"""Which processes a pipeline consists of, as command lines. Pure."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streambg.config.yamlfile import NO_PIPELINE
from streambg.errors import ConfigError
from streambg.records.source import COLORS

# Far more members than the partitions of anything that is run on one machine; each is a Python process of 60 MB.
MAX_MEMBERS = 16
PACKAGE = "consumers"
# One of each, and no event waits for them.
LAST = ("comparator", "controller")


@dataclass(frozen=True, slots=True)
class Process:
    """One child: `name` labels its lines, `port` is where it serves /metrics and /healthz on loopback.

    late: it is started when the others have come up.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    port: int
    late: bool = False

    def argv(self, pipeline_file: Path, python: str = sys.executable) -> list[str]:
        """The command line; it is run in the directory of the pipeline file."""
        return [
            python,
            "-m",
            f"{PACKAGE}.{self.module}",
            *self.arguments,
            "-p",
            str(pipeline_file),
            "--metrics-port",
            str(self.port),
        ]


def names(scorers: int, publishers: int) -> list[str]:
    """The labels, in the order of starting."""
    several_scorers = [f"scorer.{color}{_suffix(slot, scorers)}" for color in COLORS for slot in range(scorers)]
    return [*several_scorers, *(f"publisher{_suffix(slot, publishers)}" for slot in range(publishers)), *LAST]


def processes(scorers: int, publishers: int, ports: Sequence[int]) -> tuple[Process, ...]:
    """Every process of a pipeline with `scorers` members a color and `publishers` publishers, `ports` one each.

    Raises ConfigError where a number of members is out of range.
    """
    for what, count in (("--scorers", scorers), ("--publishers", publishers)):
        if not 1 <= count <= MAX_MEMBERS:
            raise ConfigError(f"{what} {count} is not between 1 and {MAX_MEMBERS}", way_out="give a number within")
    made: list[Process] = []
    labels = iter(zip(names(scorers, publishers), ports, strict=True))
    for color in COLORS:
        for slot in range(scorers):
            name, port = next(labels)
            made.append(Process(name, "scorer", ("--color", color, "--slot", str(slot)), port))
    for slot in range(publishers):
        name, port = next(labels)
        made.append(Process(name, "publisher", ("--slot", str(slot)), port))
    name, port = next(labels)
    made.append(Process(name, "comparator", ("--slot", "0"), port, late=True))
    name, port = next(labels)
    made.append(Process(name, "controller", (), port, late=True))
    return tuple(made)


def require_consumers(pipeline_file: Path) -> None:
    """The processes are modules beside the pipeline file. Raises ConfigError where they are not there."""
    if not pipeline_file.is_file():
        raise ConfigError(f"{pipeline_file}: there is no such file", way_out=NO_PIPELINE)
    folder = pipeline_file.parent / PACKAGE
    # without __init__.py, a package of this name anywhere on Python's path would be run instead
    wanted = ("__init__.py", "scorer.py", "publisher.py", "comparator.py", "controller.py")
    missing = [name for name in wanted if not (folder / name).is_file()]
    if missing:
        raise ConfigError(
            f"{folder} has no {', '.join(missing)}; a pipeline's processes stand beside its file",
            way_out="copy the folder consumers/ of streambg's repository beside the pipeline file, or name another -p",
        )


def _suffix(slot: int, of: int) -> str:
    return f".{slot}" if of > 1 else ""
