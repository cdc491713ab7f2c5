"""A replay's rows as a Parquet file: what stands in it, how it is cut, and that it is whole or not there."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streambg.errors import ConfigError, StreambgError
from streambg.replaying import rows
from streambg.replaying.rows import METADATA, Answered, Layout, RowsBatch, join_rows, open_rows

LAYOUT = Layout("ab" * 32, "payments", "fraud:8", "published", ("fraud", "ok"), 0, 0.5, ("machine", "amount"))
AT_MS = 1_795_000_000_123


def batch(partition: int, first: int, count: int, **others: Any) -> RowsBatch:
    offsets = np.arange(first, first + count, dtype=np.int64)
    scores = np.stack([offsets / 7.0, offsets / 3.0], axis=1)
    ok = offsets % 10 != 3
    model = Answered(ok, scores)
    against = Answered(np.ones(count, np.bool_), np.where(offsets[:, None] == 13, np.nan, scores * 2))
    whose = np.where(offsets % 2 == 0, 7, -1)
    carry = {"machine": [f"m{offset % 3}" for offset in offsets.tolist()], "amount": [None] * count}
    return RowsBatch(partition, offsets, offsets + AT_MS, model, against, ["answer"] * count, whose, carry, **others)


def listing(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir())


def test_a_row_says_all_of_an_event(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    with open_rows(path, LAYOUT) as writer:
        writer.write(batch(1, 12, 2, labels=np.array([1.0, np.nan])))
        assert not path.exists()
    first, second = pq.read_table(path).to_pylist()
    assert first == {
        "partition": 1,
        "offset": 12,
        "event_time": datetime.fromtimestamp(AT_MS / 1_000, UTC).replace(microsecond=135_000),
        "model_ok": True,
        "model_score_fraud": 12 / 7,
        "model_score_ok": 4.0,
        "model_decision": True,
        "against_ok": True,
        "against_score_fraud": 24 / 7,
        "against_score_ok": 8.0,
        "against_decision": True,
        "outcome": "answer",
        "against_deployment": 7,
        "label": 1.0,
        "carried_machine": "m0",
        "carried_amount": None,
    }
    # no answer is no number
    assert (second["model_ok"], second["model_score_fraud"], second["model_decision"]) == (False, None, None)
    assert (second["against_ok"], second["against_score_ok"], second["against_decision"]) == (True, None, None)
    assert (second["label"], second["against_deployment"]) == (None, None)
    about = json.loads(pq.read_schema(path).metadata[METADATA])
    assert about["replay"] == LAYOUT.replay
    assert (about["topic"], about["threshold"]) == ("payments", 0.5)


def test_carried_values_of_any_type_are_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    values = ["a", 1, 2.5, True, None]
    mixed = batch(0, 0, 5)
    with open_rows(path, LAYOUT) as writer:
        writer.write(RowsBatch(0, *_head(mixed), {"machine": values, "amount": values}))
    assert pq.read_table(path)["carried_amount"].to_pylist() == ["a", "1", "2.5", "true", None]


def _head(of: RowsBatch) -> tuple[Any, ...]:
    return of.offsets, of.times, of.model, of.against, of.outcomes, of.deployments


def test_rows_are_cut_into_groups_in_the_order_they_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "GROUP_ROWS", 100)
    path = tmp_path / "rows.parquet"
    size = 40
    with open_rows(path, LAYOUT) as writer:
        for at in range(6):
            writer.write(batch(0, at * size, size))
    with pq.ParquetFile(path) as file:
        sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        assert sizes == [120, 120]
    assert np.array_equal(pq.read_table(path)["offset"].to_numpy(), np.arange(6 * size))


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with open_rows(tmp_path / name, LAYOUT) as writer:
            writer.write(batch(0, 0, 1_000))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_parts_are_joined_in_the_order_given(tmp_path: Path) -> None:
    parts = [tmp_path / name for name in ("one", "two")]
    for part, first in zip(parts, (0, 500), strict=True):
        with open_rows(part, LAYOUT) as writer:
            writer.write(batch(first // 500, first, 500))
    whole = tmp_path / "rows.parquet"
    assert join_rows(whole, LAYOUT, [parts[1], parts[0]]) == 1_000
    offsets = pq.read_table(whole)["offset"].to_numpy()
    assert (offsets[0], offsets[500]) == (500, 0)


def test_small_parts_make_whole_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "GROUP_ROWS", 100)
    parts = [tmp_path / f"{number}" for number in range(30)]
    for number, part in enumerate(parts):
        with open_rows(part, LAYOUT) as writer:
            writer.write(batch(0, number * 10, 10))
    join_rows(tmp_path / "rows.parquet", LAYOUT, parts)
    with pq.ParquetFile(tmp_path / "rows.parquet") as file:
        assert [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)] == [100] * 3


def test_a_file_that_is_something_else_is_not_written_over(tmp_path: Path) -> None:
    rows.check_file(tmp_path / "rows.parquet")
    with open_rows(tmp_path / "rows.parquet", LAYOUT):
        pass
    rows.check_file(tmp_path / "rows.parquet")
    (tmp_path / "model.pkl").write_bytes(b"precious")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "others.parquet")
    for name in ("model.pkl", "others.parquet", "."):
        with pytest.raises(ConfigError, match="exists and holds no rows of a replay"):
            rows.check_file(tmp_path / name)
    with pytest.raises(ConfigError, match="there is no directory"):
        rows.check_file(tmp_path / "no" / "rows.parquet")


def test_without_rows_it_is_a_table_all_the_same(tmp_path: Path) -> None:
    with open_rows(tmp_path / "rows.parquet", LAYOUT):
        pass
    assert pq.read_table(tmp_path / "rows.parquet").num_rows == 0


def test_what_is_interrupted_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"older")

    def interrupted() -> None:
        with open_rows(path, LAYOUT) as writer:
            writer.write(batch(0, 0, 10))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert listing(tmp_path) == ["rows.parquet"]
    assert path.read_bytes() == b"older"


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """Files of this process cannot grow beyond `size`: a write is then refused as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.parquet"

    def too_much() -> None:
        with open_rows(path, LAYOUT) as writer:
            for at in range(50):
                writer.write(batch(0, at * 1_000, 1_000))

    monkeypatch.setattr(rows, "GROUP_ROWS", 5_000)
    said = r"rows.parquet: .*File too large.* after [\d,]{5,} rows"
    with small_disk(100_000), pytest.raises(StreambgError, match=said) as error:
        too_much()
    assert "free the disk" in error.value.way_out
    assert listing(tmp_path) == []


def test_an_error_of_whoever_writes_is_his_own(tmp_path: Path) -> None:
    def failing() -> None:
        with open_rows(tmp_path / "rows.parquet", LAYOUT):
            raise FileNotFoundError(2, "No such file or directory", "events.jsonl")

    with pytest.raises(FileNotFoundError, match=r"events\.jsonl"):
        failing()
    assert listing(tmp_path) == []


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"), open_rows(tmp_path / "no" / "r", LAYOUT):
        pass


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match="pyarrow") as error, open_rows(tmp_path / "rows.parquet", LAYOUT):
        pass
    assert "streambg[rows]" in error.value.way_out


def test_memory_is_bounded_by_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times the rows hold no more of Arrow's memory than once them."""
    monkeypatch.setattr(rows, "GROUP_ROWS", 7_000)

    def most(rounds: int) -> int:
        pool, held = pa.default_memory_pool(), 0
        with open_rows(tmp_path / "rows.parquet", LAYOUT) as writer:
            for at in range(rounds):
                writer.write(batch(0, at * 1_000, 1_000))
                held = max(held, pool.bytes_allocated())
        return held

    once = most(7)
    assert once > 0
    assert most(70) < 2 * once
