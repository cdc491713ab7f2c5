"""`streambg replay`, the pure part: windows, both sides, the proof, series, checkpoints and the report."""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from replays import LABELS, QUESTION, TERMS, Shifted, answerer, events, lane, nothing

from streambg.cli.replay import bound
from streambg.comparing.pairing import Rows
from streambg.comparing.side import part_of
from streambg.comparing.snapshot import evidence_bytes
from streambg.errors import ConfigError, StreambgError
from streambg.replaying import state as states
from streambg.replaying.against import AgainstModel
from streambg.replaying.contender import Contender, Spent
from streambg.replaying.labels import LabelTable
from streambg.replaying.lanes import first_reached
from streambg.replaying.partition import Candidate, PartitionReplay, Rule
from streambg.replaying.place import Place, find, write_whole
from streambg.replaying.pool import share_out
from streambg.replaying.proof import Count, Prover, Published, polled_of
from streambg.replaying.request import Bound
from streambg.replaying.series import MOST_PIECES, Series


def replayed(borders: Sequence[int], *, restart: bool = False, labels: LabelTable | None = None) -> states.State:
    """Windows that end at these offsets; restart: through bytes after each of them."""
    state = states.begun(lane(borders[-1]), TERMS, 1)
    state.met = None if labels is None else labels.begun()
    for border in borders:
        if restart:
            state = states.decode(states.encode(state, "id"), "id")
        candidate = Candidate(Contender(answerer(1, Shifted(0.05, fails=3)), 0, 1, state.models[0].spent), None)
        against = AgainstModel(Contender(answerer(0, Shifted()), 0, 1, Spent()))
        replay = PartitionReplay(state, [candidate], against, Rule(TERMS, QUESTION, QUESTION), labels, nothing)
        replay.step(events(state.upto + 1, border), border - 1)
    return state


def table() -> LabelTable:
    found = LabelTable(LABELS)
    found.take(
        [1_000 * number + 500 for number in range(3_000)],
        [json.dumps({"id": number, "y": number % 10 >= 5}).encode() for number in range(3_000)],
    )
    found.begin()
    found.take([1], [b"no label"])
    found.sort()
    return found


def test_P32_where_windows_end_and_what_was_restarted_changes_no_bit() -> None:
    whole = replayed([4_000], labels=table())
    pieces = replayed([700, 701, 2_500, 4_000], restart=True, labels=table())
    one, other = whole.models[0], pieces.models[0]
    assert evidence_bytes(one.evidence) == evidence_bytes(other.evidence)
    assert (one.series.cells == other.series.cells).all()
    assert one.series.width_ms == other.series.width_ms
    assert one.flips == other.flips
    assert one.reasons == other.reasons == Counter({"model: no answer": 40})
    assert one.shown == other.shown
    assert (one.labels.matched, one.labels.owed, one.labels.there) == (3_000, 2_940, 2_940)
    assert (other.labels.matched, other.labels.owed, other.labels.there) == (3_000, 2_940, 2_940)
    assert (one.labels.tallies.metrics["correct"].counts == other.labels.tallies.metrics["correct"].counts).all()
    assert whole.events == pieces.events == 4_000


def test_series_add_up_whatever_each_partition_saw() -> None:
    rng = np.random.default_rng(1)
    times = rng.integers(10**12, 10**12 + 3_000_000, 5_000)
    found = [Series(("m",)) for _ in range(3)]
    for series, part in ((found[0], times), (found[1], times[:100]), (found[2], times[100:])):
        for first in range(0, len(part), 700):
            some = part[first : first + 700]
            places = series.place(some)
            series.add_differences(places, "m", np.where(some % 3 == 0, -1 << 20, 0))
    merged = found[1].copy()
    merged.take(found[2])
    assert len(merged.cells) <= MOST_PIECES
    assert merged.width_ms == found[0].width_ms
    assert merged.first == found[0].first
    assert (merged.cells == found[0].cells).all()
    assert (merged.growing("m")[-1].sum() >> 18) == 5_000


def test_the_proof_finds_what_is_not_reproduced() -> None:
    """Planted: an answer that was published otherwise; and one that only its batch's borders explain."""
    polled = events(0, 200)
    live = Contender(answerer(1, Shifted(alone=True)), 0, 1, Spent())
    parts = [live.part(first - 1, some) for first, some in ((0, events(0, 20)), (20, events(20, 200)))]
    stored = part_of([piece for part in parts for piece in part.pieces], 1)
    changed = list(stored.values)
    changed[150] = b'{"p":0.123,"decision":false}'
    baseline = replace(stored, values=changed)
    model = live.part(-1, polled)
    at = np.arange(200)
    rows = Rows(-1, 199, baseline, model, at, at, {"blue": 0, "green": 0}, {"blue": 0, "green": 0})
    published = Published(np.full(200, 7, np.int64), {7: stored})
    count = Count()
    Prover("in", 0, [7], [], live.ask).add(count, rows, published, lambda offsets: polled_of([polled], offsets))
    assert (count.events, count.reproduced, count.close, count.different) == (200, 199, 0, 1)
    assert count.first[0].source == "in/0@150"
    count = Count()
    Prover("in", 0, [7], [], live.ask).add(count, rows, Published(np.full(200, 7, np.int64), {}), nothing)
    assert count.reproduced + count.different + count.close == 200
    assert count.different > 1, "without the borders nobody can tell"
    count = Count()
    Prover("in", 0, [], [7], live.ask).add(count, rows, published, nothing)
    assert (count.events, count.other_rules, count.reproduced) == (200, 200, 0)


def test_a_file_is_there_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full while the report is written: nothing half is presented as whole."""
    file = tmp_path / "report.json"
    write_whole(file, b"first")

    def full(_number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StreambgError, match="No space left") as refused:
        write_whole(file, b"second")
    assert "--resume" in refused.value.way_out
    assert file.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [file]


def test_a_damaged_checkpoint_is_named_and_another_replays_is_not_taken(tmp_path: Path) -> None:
    place = Place(tmp_path, "abc1")
    place.write_state(replayed([700]))
    assert place.state(0) is not None
    assert place.state(1) is None
    place.partial.joinpath("0.state").write_bytes(states.encode(replayed([700]), "another"))
    with pytest.raises(ConfigError, match="of the replay another"):
        place.state(0)
    place.partial.joinpath("0.state").write_bytes(b"x")
    with pytest.raises(ConfigError, match="damaged"):
        place.state(0)


def test_an_interrupted_replay_is_found_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    for name in ("abc1", "abd2"):
        write_whole(tmp_path / name / "partial" / "plan.json", b"{}")
    assert find(tmp_path, "abc") == "abc1"
    for prefix, says in (("ab", "2 replays"), ("", "2 replays"), ("x", "was interrupted")):
        with pytest.raises(ConfigError, match=says):
            find(tmp_path, prefix)


def test_the_first_offset_that_has_reached_is_found_from_behind() -> None:
    """Wherever it is, in few looks; and in four where the log ends behind it."""
    for low, high in ((0, 0), (3, 4), (5, 70), (0, 1_000)):
        for first in range(low, high + 1):
            looks: list[int] = []

            def reached(offset: int, first: int = first, looks: list[int] = looks) -> bool:
                looks.append(offset)
                return offset >= first

            assert first_reached(low, high, reached) == first
            assert all(low <= offset < high for offset in looks)
            assert len(looks) <= (4 if first >= high - 2 else 2 * (high - low).bit_length() + 1)


def test_partitions_are_shared_out_by_size() -> None:
    lanes = [replace(lane(end), partition=number) for number, end in enumerate((10, 100, 20, 90))]
    assert share_out(lanes, 2) == [[1, 0], [3, 2]]
    assert share_out(lanes, 1) == [[1, 3, 2, 0]]
    assert len(share_out(lanes, 9)) == 4


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], Bound()),
        (["1200"], Bound(offset=1_200)),
        (["3@7", "sensors/1@9"], Bound(offsets={3: 7, 1: 9})),
        (["5", "3@7"], Bound(offset=5, offsets={3: 7})),
    ],
)
def test_a_range_as_it_is_typed(said: list[str], expected: Bound) -> None:
    assert bound(said, "--from") == expected
    assert bound(["2h"], "--from").time_ms is not None


@pytest.mark.parametrize("said", [["soon"], ["1", "2"], ["3@7", "3@8"], ["3@"]])
def test_a_range_that_says_nothing_is_refused(said: list[str]) -> None:
    with pytest.raises(ConfigError):
        bound(said, "--from")


def test_an_event_gets_the_first_label_of_its_key_within_the_horizon() -> None:
    found = LabelTable(LABELS)
    at = [(1, 500_000, 0), (1, 100_000, 1), (2, 10_000, 1), (3, 300_000, 1), (1, 90_000, 0)]
    for key, time, y in at:
        found.begin()  # each in a partition of its own: they are not in the order of their times
        found.take([time], [json.dumps({"id": key, "y": y}).encode()])
    found.sort()
    column, times = [1, 1, 2, 3, None, 9], np.array([99_000, 460_000, 16_000, 200_000, 1, 1])
    given = [found.find(found.begun(), [key], np.array([time])) for key, time in zip(column, times, strict=True)]
    assert [bool(each.keyed[0]) for each in given] == [True, True, True, True, False, True]
    assert [at for at, each in enumerate(given) if each.there[0]] == [0, 1], "2 is dated 6 s early, 3 after the horizon"
    assert [float(each.labels[0]) for each in given[:2]] == [1.0, 0.0]
