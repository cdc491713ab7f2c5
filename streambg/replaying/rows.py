"""A replay's rows as a Parquet file for notebooks: one row an event, written a row group at a time.

The file is whole or it is not there: it grows under another name beside its own, and is renamed at the end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from streambg.errors import ConfigError, StreambgError
from streambg.records.batch import Carried

# Readers skip and decode whole groups; at some 200 bytes a row before encoding one holds 13 MB of memory.
GROUP_ROWS = 65_536
METADATA = b"streambg"


@dataclass(frozen=True, slots=True)
class Layout:
    """What the rows are about, which stands in the file's metadata; outputs and fields are columns.

    model, against: names of both sides. threshold: of the decision; None: there is none. fields: carried event fields.
    """

    replay: str
    topic: str
    model: str
    against: str
    outputs: tuple[str, ...]
    threshold: float | None
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """One side's answers to n events: ok bool (n,), scores float64 (n, outputs), decisions bool (n,) or None.

    Where `ok` is False the scores and the decision are no answer, and the file has nulls.
    """

    ok: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float64]
    decisions: npt.NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True)
class RowsBatch:
    """n events of one partition: offsets int64 (n,), times int64 ms (n,), what was published of each, in words.

    labels float64 (n,), NaN where none came; None where none were read. carry: by field, n values.
    """

    partition: int
    offsets: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    model: Answered
    against: Answered
    outcomes: Sequence[str]
    carry: Mapping[str, Sequence[Carried]]
    labels: npt.NDArray[np.float64] | None = None


class RowsWriter:
    """Made by `open_rows`. `rows`: so many were written or wait for their group."""

    def __init__(self, path: Path, layout: Layout, file: BinaryIO) -> None:
        arrow, parquet = libraries()
        self.rows = 0
        self._path = path
        self._file = file
        self._arrow = arrow
        self._layout = layout
        self._schema = _schema(arrow, layout)
        self._writer: Any = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._waiting: list[Any] = []
        self._waiting_rows = 0

    def write(self, batch: RowsBatch) -> None:
        """Rows stand in the file in the order they come. Raises StreambgError where the file cannot grow."""
        columns = _columns(self._arrow, self._layout, batch)
        self._waiting.append(self._arrow.record_batch(columns, schema=self._schema))
        self._waiting_rows += len(batch.offsets)
        self.rows += len(batch.offsets)
        if self._waiting_rows >= GROUP_ROWS:
            self._group()

    def copy(self, groups: Iterator[Any]) -> None:
        """Groups of another file of this layout. Raises as `write`."""
        for group in groups:
            with self._growing():
                self._writer.write_table(group.cast(self._schema))
            self.rows += group.num_rows

    def finish(self) -> None:
        """What waits, and the file's end; on the disk when this returns. Raises as `write`."""
        if self._waiting:
            self._group()
        with self._growing():
            self._writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())

    def abandon(self) -> None:
        """Let go of the file: Arrow's writer would end it when it is collected, after it was closed."""
        with suppress(OSError):
            self._writer.close()

    def _group(self) -> None:
        with self._growing():
            self._writer.write_table(self._arrow.Table.from_batches(self._waiting), row_group_size=self._waiting_rows)
        self._waiting, self._waiting_rows = [], 0

    @contextmanager
    def _growing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StreambgError(
                f"{self._path}: {error.strerror or error} after {self.rows:,} rows; what was written of it is removed",
                way_out="free the disk or name a file elsewhere, then run it again: the same range gives the same rows",
            ) from error


@contextmanager
def open_rows(path: Path, layout: Layout) -> Iterator[RowsWriter]:
    """The file stands under `path` after the block; where the block raised, nothing does, and an older one stays.

    Raises ConfigError where pyarrow is missing or the path cannot be written, StreambgError where the disk is full.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with _named(path):
        file = part.open("wb")
    try:
        writer = RowsWriter(path, layout, file)
        try:
            yield writer
            writer.finish()
        finally:
            writer.abandon()
        with _named(path):
            os.replace(part, path)
    finally:
        with suppress(OSError):  # on a full disk once more, for what is still buffered
            file.close()
        part.unlink(missing_ok=True)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}", way_out="name a file in a directory that can be written"
        ) from error


def join_rows(path: Path, layout: Layout, parts: Sequence[Path]) -> int:
    """One file from files of the same layout (of other partitions, of earlier runs), in this order; how many rows.

    A group at a time: the memory is that of one. Raises as `open_rows`.
    """
    _, parquet = libraries()
    with open_rows(path, layout) as writer:
        for part in parts:
            with parquet.ParquetFile(part) as file:
                writer.copy(file.read_row_group(number) for number in range(file.num_row_groups))
        return writer.rows


def libraries() -> tuple[ModuleType, ModuleType]:
    """`pyarrow` and its Parquet part, imported where rows are asked for only. Raises ConfigError."""
    try:
        import pyarrow  # noqa: PLC0415 - comes with an extra, 150 MB that a scorer does not need
        import pyarrow.parquet  # noqa: PLC0415 - as above
    except ImportError as error:
        raise ConfigError(
            f"a Parquet file needs the library {error.name or 'pyarrow'}, which is not installed here",
            way_out="pip install 'streambg[rows]', or leave --rows out",
        ) from error
    return pyarrow, pyarrow.parquet


def _schema(arrow: ModuleType, layout: Layout) -> Any:
    names: dict[str, Any] = {
        "partition": arrow.int32(),
        "offset": arrow.int64(),
        "event_time": arrow.timestamp("ms", "UTC"),
    }
    for side in ("model", "against"):
        names[f"{side}_ok"] = arrow.bool_()
        names |= {f"{side}_score_{output}": arrow.float64() for output in layout.outputs}
        names[f"{side}_decision"] = arrow.bool_()
    names |= {"outcome": arrow.string(), "label": arrow.float64()}
    names |= {f"carried_{field}": arrow.string() for field in layout.fields}
    about = json.dumps(asdict(layout), sort_keys=True)
    return arrow.schema(list(names.items()), metadata={METADATA: about.encode()})


def _columns(arrow: ModuleType, layout: Layout, batch: RowsBatch) -> list[Any]:
    """In the order of the schema."""
    count = len(batch.offsets)
    columns = [
        arrow.array(np.full(count, batch.partition, np.int32)),
        arrow.array(batch.offsets),
        arrow.array(batch.times).cast(arrow.timestamp("ms", "UTC")),
    ]
    for side in (batch.model, batch.against):
        nothing = ~side.ok
        columns.append(arrow.array(side.ok))
        columns += [arrow.array(side.scores[:, at], mask=nothing) for at in range(len(layout.outputs))]
        decided = arrow.nulls(count, arrow.bool_())
        columns.append(decided if side.decisions is None else arrow.array(side.decisions, mask=nothing))
    labels = batch.labels
    columns.append(arrow.array(batch.outcomes, arrow.string()))
    columns.append(
        arrow.nulls(count, arrow.float64()) if labels is None else arrow.array(labels, mask=np.isnan(labels))
    )
    columns += [arrow.array(list(map(_text, batch.carry[field])), arrow.string()) for field in layout.fields]
    return columns


def _text(value: Carried) -> str | None:
    """A carried field has no declared type: text as it is, else as JSON writes it."""
    return value if value is None or isinstance(value, str) else json.dumps(value)
