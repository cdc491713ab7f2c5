"""The rows of one partition while it is replayed: a part from checkpoint to checkpoint, so that a replay that was
interrupted has each event once; and the whole file from the parts.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from streambg.records.rules import Rules
from streambg.replaying.place import Place
from streambg.replaying.plan import Plan
from streambg.replaying.rows import Layout, RowsBatch, RowsWriter, join_rows, open_rows

FOLDER, ENDING = "rows", ".parquet"


def layout_of(plan: Plan, rules: Rules, carry: tuple[str, ...]) -> Layout:
    """Of a plan with one model. carry: the pipeline's carried fields."""
    identity = plan.identity
    topic = next((each.topic for each in identity.topics if each.role == "input"), "")
    return Layout(
        identity.id,
        topic,
        identity.models[0].ref,
        identity.against,
        rules.outputs,
        rules.decision_output or 0,
        rules.decision_threshold,
        carry,
    )


class LaneRows:
    """`write` windows in order, `keep` before each checkpoint; left by an exception, what was not kept is gone.

    begin: where the checkpoint stands. A part is named by where it begins: one that was kept before a checkpoint that
    never came is written over, because the replay then begins there again.
    """

    def __init__(self, place: Place, partition: int, begin: int, layout: Layout) -> None:
        self._layout = layout
        self._folder = place.partial / FOLDER / str(partition)
        self._begin = begin
        self._opened = ExitStack()
        self._writer: RowsWriter | None = None
        self._folder.mkdir(parents=True, exist_ok=True)

    def write(self, batch: RowsBatch) -> None:
        """Raises StreambgError where the disk is full."""
        if self._writer is None:
            path = self._folder / f"{self._begin}{ENDING}"
            self._writer = self._opened.enter_context(open_rows(path, self._layout))
        self._writer.write(batch)

    def keep(self, upto: int) -> None:
        """All up to the source offset `upto` is a part now. Raises as `write`."""
        self._opened.close()
        self._writer, self._begin = None, upto

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._opened.__exit__(kind, error, at)


def begun(part: Path) -> int:
    """The source offset above which a part begins."""
    return int(part.name.removesuffix(ENDING))


def parts_of(folder: Path) -> list[Path]:
    """In the order of their offsets."""
    return sorted((path for path in folder.glob(f"*{ENDING}") if not path.name.startswith(".")), key=begun)


def write_rows(path: Path, layout: Layout, place: Place, partitions: list[int]) -> int:
    """The file from what the partitions have kept; how many rows. Raises ConfigError, StreambgError."""
    folder = place.partial / FOLDER
    return join_rows(path, layout, [part for number in sorted(partitions) for part in parts_of(folder / str(number))])
