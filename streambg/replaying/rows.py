"""A replay's rows as a Parquet file for notebooks: one row an event, written a row group at a time.

The file is whole or it is not there: it grows under another name beside its own, and is renamed at the end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

    model, against: names of both sides. decision: the number of the output that is decided on, yes from `threshold` on;
    None: nothing is decided. fields: carried event fields.
    """

    replay: str
    topic: str
    model: str
    against: str
    outputs: tuple[str, ...]
    decision: int
    threshold: float | None
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """One side's answers to n events: ok bool (n,), scores float64 (n, outputs), NaN where there is none."""

    ok: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RowsBatch:
    """n events of one partition: offsets int64 (n,), times int64 ms (n,), what the other side has for each: `answer`,
    `error` (published: a dead letter), or why it has nothing.

    deployments int64 (n,): whose answer the other side's is, below 0: nobody's. carry: by field, n values.
    labels float64 (n,), NaN where none came; None where none were read.
    """

    partition: int
    offsets: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    model: Answered
    against: Answered
    outcomes: Sequence[str]
    deployments: npt.NDArray[np.int64]
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
        self._take(self._arrow.record_batch(_columns(self._arrow, self._layout, batch), schema=self._schema))

    def copy(self, batches: Iterable[Any]) -> None:
        """What another file of this layout holds. Raises as `write`."""
        for batch in batches:
            self._take(batch.cast(self._schema))

    def _take(self, batch: Any) -> None:
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        self.rows += batch.num_rows
        if self._waiting_rows >= GROUP_ROWS:
            self._group()

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

    However small the groups of these are, the file's are whole; the memory is that of some. Raises as `open_rows`.
    """
    _, parquet = libraries()
    with open_rows(path, layout) as writer:
        for part in parts:
            with parquet.ParquetFile(part) as file:
                writer.copy(file.iter_batches(GROUP_ROWS))
        return writer.rows


def check_file(path: Path) -> None:
    """Before anything is read: may the rows be written there? Raises ConfigError."""
    _, parquet = libraries()
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: there is no directory {path.parent}", way_out="make it, or name another file")
    if path.exists() and not _is_ours(parquet, path):
        raise ConfigError(f"{path} exists and holds no rows of a replay", way_out="name another file")


def _is_ours(parquet: ModuleType, path: Path) -> bool:
    try:
        return METADATA in (parquet.read_schema(path).metadata or {})
    except (OSError, ValueError):  # a directory; bytes that are no Parquet: Arrow's error is a ValueError
        return False


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
    names |= {"outcome": arrow.string(), "against_deployment": arrow.int64(), "label": arrow.float64()}
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
        nothing = ~side.ok[:, None] | np.isnan(side.scores)
        columns.append(arrow.array(side.ok))
        columns += [arrow.array(side.scores[:, at], mask=nothing[:, at]) for at in range(len(layout.outputs))]
        columns.append(_decided(arrow, layout, side.scores[:, layout.decision], nothing[:, layout.decision]))
    labels = np.full(count, np.nan) if batch.labels is None else batch.labels
    columns.append(arrow.array(batch.outcomes, arrow.string()))
    columns.append(arrow.array(batch.deployments, mask=batch.deployments < 0))
    columns.append(arrow.array(labels, mask=np.isnan(labels)))
    columns += [arrow.array(list(map(_text, batch.carry[field])), arrow.string()) for field in layout.fields]
    return columns


def _decided(arrow: ModuleType, layout: Layout, scores: npt.NDArray[np.float64], nothing: npt.NDArray[np.bool_]) -> Any:
    if layout.threshold is None:
        return arrow.nulls(len(scores), arrow.bool_())
    return arrow.array(scores >= layout.threshold, mask=nothing)


def _text(value: Carried) -> str | None:
    """A carried field has no declared type: text as it is, else as JSON writes it."""
    return value if value is None or isinstance(value, str) else json.dumps(value)
