"""Rows while a partition is replayed: each event once, however often it was interrupted; and what a row says."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from streambg.comparing.side import Part, part_of
from streambg.records.batch import Batch
from streambg.records.gate import LabelTerms
from streambg.replaying.against import Baseline
from streambg.replaying.labels import LabelTable
from streambg.replaying.lane_rows import LaneRows, write_rows
from streambg.replaying.place import Place
from streambg.replaying.proof import Published
from streambg.replaying.rowing import rows_of
from streambg.replaying.rows import Answered, Layout, RowsBatch

LAYOUT = Layout("ab" * 32, "payments", "fraud:8", "published", ("fraud",), 0, 0.5, ("id",))
WINDOW = 10


class Killed(Exception):
    """The process is gone."""


def window(partition: int, after: int) -> RowsBatch:
    """The events (after, after + WINDOW]."""
    offsets = np.arange(after + 1, after + 1 + WINDOW, dtype=np.int64)
    answered = Answered(np.ones(WINDOW, np.bool_), np.full((WINDOW, 1), 0.75))
    carry = {"id": offsets.tolist()}
    return RowsBatch(partition, offsets, offsets, answered, answered, ["answer"] * WINDOW, offsets, carry)


def replay(place: Place, partition: int, checkpoint: int, windows: list[str]) -> int:
    """What happens at the end of each window: `on`, `keep` (parts, then the checkpoint), `kept` (killed in between), or
    `kill`. Where the checkpoint stands when it is over.
    """
    upto = checkpoint
    try:
        with LaneRows(place, partition, checkpoint, LAYOUT) as rows:
            for at_end in windows:
                rows.write(window(partition, upto))
                upto += WINDOW
                if at_end in ("keep", "kept"):
                    rows.keep(upto)
                if at_end == "keep":
                    checkpoint = upto
                if at_end in ("kill", "kept"):
                    raise Killed
            rows.keep(upto)
            checkpoint = upto
    except Killed:
        pass
    return checkpoint


def offsets_of(path: Path) -> list[int]:
    return pq.read_table(path)["offset"].to_pylist()  # type: ignore[no-any-return] # of a column of int64


@pytest.mark.parametrize("ends", list(itertools.product(("on", "keep", "kept", "kill"), repeat=3)), ids="-".join)
def test_each_event_has_one_row_whatever_was_interrupted(tmp_path: Path, ends: tuple[str, ...]) -> None:
    place, upto, windows = Place(tmp_path, LAYOUT.replay), -1, list[str]()
    for at_end in (*ends, "kill", "on", "kill"):
        windows.append(at_end)
        if at_end.startswith("k") and at_end != "keep":
            upto = replay(place, 0, upto, windows)
            windows = []
    upto = replay(place, 0, upto, ["on"])
    assert write_rows(tmp_path / "rows.parquet", LAYOUT, place, [0]) == upto + 1
    assert offsets_of(tmp_path / "rows.parquet") == list(range(upto + 1))


def test_partitions_stand_one_after_the_other(tmp_path: Path) -> None:
    place = Place(tmp_path, LAYOUT.replay)
    for partition in (10, 2):
        replay(place, partition, 99, ["keep", "on"])
    write_rows(tmp_path / "rows.parquet", LAYOUT, place, [10, 2])
    table = pq.read_table(tmp_path / "rows.parquet")
    assert Counter(table["partition"].to_pylist()) == {2: 20, 10: 20}
    assert table["partition"].to_pylist()[0] == 2
    assert offsets_of(tmp_path / "rows.parquet") == [*range(100, 120)] * 2


def test_a_partition_without_events_has_no_part(tmp_path: Path) -> None:
    place = Place(tmp_path, LAYOUT.replay)
    with LaneRows(place, 0, -1, LAYOUT) as rows:
        rows.keep(7)
    assert write_rows(tmp_path / "rows.parquet", LAYOUT, place, [0, 1]) == 0


# -- what a row says --------------------------------------------------------------------------------------------------


def part(answers: dict[int, float | None]) -> Part:
    """By offset: the score, None: an error row."""
    offsets = np.array(sorted(answers), np.int64)
    scores = np.array([[np.nan if answers[at] is None else answers[at]] for at in offsets.tolist()], np.float64)
    statuses = np.isnan(scores[:, 0]).astype(np.uint8)
    values = [b"{}"] * len(offsets)
    carry = {"id": [f"e{at}" for at in offsets.tolist()]}
    low, high = int(offsets[0]) - 1, int(offsets[-1])
    batch = Batch(
        0, low, high, False, 0, 0, offsets, offsets * 1_000, statuses, scores, [None] * len(offsets), values, carry
    )
    return part_of([(batch, 0, len(batch))], 1)


def test_a_row_has_both_sides_and_what_became_of_the_event() -> None:
    other = part({3: 0.25, 4: None, 9: 0.5})  # 9 has no event any more
    baseline = Baseline(
        other, Published(np.array([7, 7, 7]), {}), missing={"lost": np.array([5]), "expired": np.array([2])}
    )
    made = rows_of(1, baseline, part({2: 0.5, 3: 0.75, 4: 0.125, 5: None}), None)
    assert made.partition == 1
    assert made.offsets.tolist() == [2, 3, 4, 5]
    assert made.times.tolist() == [2_000, 3_000, 4_000, 5_000]
    assert list(made.outcomes) == ["expired", "answer", "error", "lost"]
    assert made.deployments.tolist() == [-1, 7, 7, -1]
    assert made.model.ok.tolist() == [True, True, True, False]
    assert made.against.ok.tolist() == [False, True, False, False]
    assert made.against.scores[1, 0] == 0.25
    assert np.isnan(made.against.scores[[0, 2, 3], 0]).all()
    assert made.carry == {"id": ["e2", "e3", "e4", "e5"]}
    assert made.labels is None


def test_a_row_has_its_label() -> None:
    table = LabelTable(LabelTerms("labels", "id", "y", 1_000, 10_000, False))
    table.take([3_500], [b'{"id": "e3", "y": true}'])
    table.sort()
    events = part({2: 0.5, 3: 0.75})
    given = table.find(table.begun(), events.column("id"), events.times)
    made = rows_of(0, Baseline(events, Published(np.array([0, 0]), {})), events, given)
    assert made.labels is not None
    assert np.isnan(made.labels[0])
    assert made.labels[1] == 1.0
