"""`streambg replay`, the pure part: windows, both sides, the proof, series, checkpoints and the report."""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streambg.audit.parsing import HeaderParser, LetterParser
from streambg.audit.sources import Chunk, Role
from streambg.audit.stream import Bounds, Stream
from streambg.audit.tally import Tally
from streambg.cli.replay import bound
from streambg.comparing.pair import Terms
from streambg.comparing.pairing import Rows, match
from streambg.comparing.side import Place as Place_
from streambg.comparing.side import part_of
from streambg.comparing.snapshot import evidence_bytes
from streambg.errors import ConfigError, StreambgError
from streambg.models.contract import Answers, Events, Schema
from streambg.models.decoding import json_rows
from streambg.previewing.preview import Question
from streambg.records.batch import Batch, encode
from streambg.records.coverage import Coverage
from streambg.records.gate import Gate, LabelTerms, Metric
from streambg.records.outcome import DeadLetter, encode_dead_letter, header_template
from streambg.records.source import Color, Source
from streambg.replaying import state as states
from streambg.replaying.against import AgainstModel, AgainstPublished
from streambg.replaying.contender import Contender, Spent
from streambg.replaying.labels import LabelTable
from streambg.replaying.partition import Candidate, PartitionReplay, Rule
from streambg.replaying.place import Place, find, write_whole
from streambg.replaying.plan import Deployed, Ends, Lane
from streambg.replaying.pool import share_out
from streambg.replaying.proof import Count, Prover, Published, polled_of
from streambg.replaying.request import Bound
from streambg.replaying.series import MOST_PIECES, Series
from streambg.replaying.stored import Stored
from streambg.scoring.answerer import Answerer, Fields
from streambg.scoring.batching import Polled

SCHEMA = Schema({"f": "number"}, ("p",), "p", 0.5)
LABELS = LabelTerms("labels", "id", "y", 60_000, 10_000, False)
GATE = Gate(
    (
        Metric("correct", "correctness", "goal", 0.0, 1.0, "higher", True, 0.1, 0.05),
        Metric(
            "errors",
            "error_rate",
            "guardrail",
            0.0,
            1.0,
            "lower",
            False,
            0.05,
            0.03,
            segments=("kind",),
            segment_margin=0.1,
            segment_abort_margin=0.05,
        ),
        Metric("flips", "flip_rate", "guardrail", 0.0, 1.0, "lower", False, 0.3, 0.2),
    ),
    {"kind": ("a", "b")},
    0.05,
    0.01,
    0.99,
    0.5,
    carried=("id", "kind"),
    labels=LABELS,
)
TERMS = Terms(1, 0, 0.5, GATE)
QUESTION = Question("in", "blue", 0, 10_000, 1, None, False)


class Shifted:
    """Answers with the feature and a bit more; fails on some ids; `alone` answers otherwise in small batches."""

    def __init__(self, more: float = 0.0, fails: int | None = None, alone: bool = False) -> None:
        self.more, self.fails, self.alone = more, fails, alone

    def predict_many(self, events: Events) -> Answers:
        scores = np.clip(events.column("f") + self.more, 0, 1)
        if self.alone and len(events) < 50:
            scores = scores * 0.999
        errors = (
            {}
            if self.fails is None
            else {at: "no answer" for at, row in enumerate(events.rows) if row["id"] % 100 == self.fails}
        )
        return Answers(scores, errors=errors)


def answerer(deployment: int, model: Shifted) -> Answerer:
    return Answerer(deployment, model, SCHEMA, json_rows, Fields(("id", "kind"), None), "in")


def events(first: int, last: int) -> Polled:
    offsets = list(range(first, last))
    values: list[bytes | None] = [
        json.dumps({"f": offset % 10 / 10, "id": offset, "kind": "abc"[offset % 3]}).encode() for offset in offsets
    ]
    return Polled(
        offsets, [b"k%d" % (offset % 7) for offset in offsets], [1_000 * offset for offset in offsets], values, None
    )


def lane(end: int) -> Lane:
    return Lane(0, 0, 0, end, end - 1, 0, -1, None, 0, {"blue": Ends(0, 0)})


def nothing(_offsets: Sequence[int]) -> None:
    return None


def replayed(borders: Sequence[int], *, restart: bool = False, labels: LabelTable | None = None) -> states.State:
    """Windows that end at these offsets; restart: through bytes after each of them."""
    state = states.begun(lane(borders[-1]), TERMS, 1)
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
    found.take([time for _, time, _ in at], [json.dumps({"id": key, "y": y}).encode() for key, _, y in at])
    found.sort()
    column, times = [1, 1, 2, 3, None, 9], np.array([99_000, 460_000, 16_000, 200_000, 1, 1])
    keyed, rows, labels = found.find(column, times)
    assert keyed.tolist() == [0, 1, 2, 3, 5]
    assert rows.tolist() == [0, 1], "2 is dated 6 s before its event, 3 after the horizon"
    assert labels.tolist() == [1.0, 0.0]


# -- what was published ------------------------------------------------------------------------------------------------


class Log:
    """`stored.Log` of these batches; counts how many were read."""

    def __init__(self, batches: Sequence[Batch], deployment: int) -> None:
        self.place = Place_(0, Coverage(deployment))
        self.read = 0
        self._batches = batches

    def __iter__(self) -> Iterator[list[tuple[int, bytes]]]:
        for offset, batch in enumerate(self._batches):
            self.read += 1
            yield [(offset, encode(batch))]

    def close(self) -> None:
        """Nothing is open."""


def stored_batches() -> list[Batch]:
    """Deployment 1 answers 0 to 99, with a repeat; 5 answers from 80 on: it was seeded where 1 was settled."""
    first = Contender(answerer(1, Shifted()), 0, 1, Spent())
    fifth = Contender(answerer(5, Shifted(0.1)), 0, 1, Spent())
    pieces = [first.part(at - 1, events(at, at + 20)).pieces for at in (0, 20, 20, 40, 60, 80)]
    pieces += [fifth.part(at - 1, events(at, at + 20)).pieces for at in range(80, 400, 20)]
    return [batch for some in pieces for batch, _, _ in some]


def test_P8_a_deployments_rows_are_found_and_its_successors_log_is_not_read_to_the_end() -> None:
    logs: dict[int, Log] = {}

    def open_log(_color: Color, deployment: int, _low: int) -> Log:
        return logs.setdefault(deployment, Log(stored_batches(), deployment))

    stored = Stored(open_log, 1)
    assert stored.part("blue", 1, -1, 49).offsets.tolist() == list(range(50))
    assert stored.part("blue", 1, 49, 119).offsets.tolist() == list(range(50, 100))
    assert logs[1].read < len(stored_batches()), "what comes behind the successor's answer to 119 is not its"
    assert stored.part("blue", 5, 79, 119).offsets.tolist() == list(range(80, 120))


def deployed() -> dict[int, tuple[Deployed, ...]]:
    asks = '[null,["p",0.5]]'
    return {
        1: (Deployed(1, "blue", "m:1", "sha256:" + "1" * 64, asks),),
        5: (Deployed(5, "blue", "m:5", "sha256:" + "5" * 64, asks),),
    }


def outcomes(role: Role, records: Sequence[tuple[int, int, str, bytes]]) -> Stream:
    """(source offset, epoch, last word, value) each; of a dead letter the value is its reason."""
    offsets, values, headers = [], [], []
    for number, (offset, epoch, why, value) in enumerate(records):
        [slot] = deployed()[epoch]
        offsets.append(number)
        if role == "output":
            template = header_template("in", 0, slot.color, slot.model, slot.digest, epoch)
            headers.append(template % (offset, why.encode()))
            values.append(value)
        else:
            reasons = {"blue": value.decode(), "green": "none"}
            values.append(encode_dead_letter(DeadLetter(Source("in", 0, offset), epoch, "blue", reasons)))
    chunk = Chunk(offsets, [b"k"] * len(offsets), [0] * len(offsets), values, headers)
    bounds = Bounds(10, 150, 200, -1)
    parser = (HeaderParser if role == "output" else LetterParser)("in", 0)
    return Stream(role, iter([chunk] if offsets else []), parser, bounds, Tally("in", 0))


def test_P15_published_answers_are_their_deployments_rows_and_what_is_missing_is_named() -> None:
    """Events 0..199: owed from 10 on, settled to 150; 20 is a dead letter, 30 was lost, 60's value tells its score."""
    model = Contender(answerer(1, Shifted(fails=20)), 0, 1, Spent()).part(-1, events(0, 200))
    by_hand = b'{"p":0.25,"decision":false}'
    fifth = Contender(answerer(5, Shifted(0.1)), 0, 1, Spent()).part(-1, events(0, 200))
    told = [
        (at, 1 if at < 90 else 5, "route", (model if at < 90 else fifth).values[at])
        for at in range(10, 151)
        if at not in (20, 30, 60)
    ]
    told.append((60, 1, "route", by_hand))
    told.sort(key=lambda record: record[0])
    told.insert(5, (14, 1, "supersedes", b"again"))
    batches = [batch for batch in stored_batches() if 60 not in batch.offsets.tolist()]

    def open_log(_color: Color, deployment: int, _low: int) -> Log:
        return Log(batches, deployment)

    where = replace(lane(200), origin=10, settled=150, outcomes_from=12)
    streams = outcomes("output", told), outcomes("dead-letters", [(20, 1, "", b"model: no answer")])
    against = AgainstPublished(*streams, Stored(open_log, 1), where, deployed(), ("p",))
    baseline = against.take(-1, 199, events(0, 200), model)
    assert baseline.came == {"route": 139, "dead-letter": 1, "lost": 1, "before-origin": 10, "unsettled": 49}
    assert baseline.silent == 1
    assert baseline.missing["lost"].tolist() == [30]
    assert baseline.answering == {("blue", 1): 78, ("blue", 5): 61}
    part = baseline.part
    assert part.offsets.tolist() == [at for at in range(10, 151) if at != 30]
    row = part.offsets.tolist().index
    assert not part.ok[row(20)]
    assert part.values[row(20)] == b"model: no answer"
    assert part.scores[row(60), 0] == 0.25, "its batch is gone: the value tells"
    assert part.scores[row(95), 0] == fifth.scores[95, 0]
    assert part.column("kind")[row(95)] == "abc"[95 % 3]
    assert baseline.published.deployments[row(20)] == 1
    rows = Rows(-1, 199, part, model, *match(part.offsets, model.offsets), {}, {})
    count = Count()
    Prover("in", 0, [1], [], lambda _: pytest.fail("nothing is asked again")).add(
        count, rows, baseline.published, nothing
    )
    assert (count.events, count.reproduced, count.different) == (79, 78, 1), "the dead letter is reproduced, too"
    assert count.first[0].source == "in/0@60"
