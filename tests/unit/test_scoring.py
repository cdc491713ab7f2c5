"""P7, P9, P11, P13: events and answers become batches; where a deployment begins or goes on."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambg.control.state import Deployment
from streambg.kafka.profiles import BATCH_OVERHEAD_BYTES, MAX_MESSAGE_BYTES
from streambg.models.answering import Answered
from streambg.models.contract import Events, Schema
from streambg.models.decoding import json_rows
from streambg.records.batch import ERROR, MAX_BYTES, MAX_CARRY_BYTES, MAX_ROWS, OK, Carried, decode, encode
from streambg.records.bucket import bucket, field_bytes
from streambg.records.coverage import Coverage, Take
from streambg.records.cutover import ScorerPosition
from streambg.records.rules import Rules
from streambg.scoring import pace
from streambg.scoring.answerer import Answerer, Fields
from streambg.scoring.batching import Polled, Scored, batches, carried, carry_columns
from streambg.scoring.seeding import FoldFirst, GoOn, Seed, start

SCHEMA = Schema({"f": "number"}, ("p",), "p", 0.5)


class Echo:
    """Answers with the feature; `big` events get an answer larger than a batch."""

    def predict_many(self, events: Events) -> np.ndarray:
        return events.column("f")


def answerer(carry: tuple[str, ...] = (), bucket_field: str | None = None) -> Answerer:
    return Answerer(4, Echo(), SCHEMA, json_rows, Fields(carry, bucket_field), "in")


def poll(offsets: list[int], keys: list[bytes | None] | None = None, **fields: object) -> Polled:
    values: list[bytes | None] = [json.dumps({"f": offset % 10 / 10, **fields}).encode() for offset in offsets]
    return Polled(offsets, keys or [b"k%d" % o for o in offsets], [1_000 + o for o in offsets], values, None)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60, unique=True).map(sorted), st.integers(1, 7))
def test_P7_batches_join_without_gaps_and_hold_every_event(offsets: list[int], cut: int) -> None:
    """Whatever the polls: each batch begins where the last one ended, and no event is missing or doubled."""
    scorer, after, seen, fold = answerer(), -1, [], Coverage(4, -1)
    for first in range(0, len(offsets), cut):
        polled = poll(offsets[first : first + cut])
        for batch in batches(4, after, scorer.score(polled, 0, None)):
            read = decode(encode(batch))
            assert read.after == after
            after = read.upto
            seen += read.offsets.tolist()
            take, fold = fold.take(read.after, read.upto)
            assert take is Take.ACCEPTED
    assert seen == offsets
    assert after == offsets[-1]
    assert fold.covered == after


def test_P7_a_poll_larger_than_a_batch_is_split_by_rows_and_bytes() -> None:
    polled = poll(list(range(5, 5 + MAX_ROWS + 3)))
    sizes = [len(batch) for batch in batches(4, 4, answerer().score(polled, 0, None))]
    assert sizes == [MAX_ROWS, 3]
    heavy = poll([1, 2, 3], [b"x" * 300_000] * 3)
    parts = list(batches(4, 0, answerer().score(heavy, 0, None)))
    assert [(part.after, part.upto) for part in parts] == [(0, 1), (1, 2), (2, 3)]
    assert all(len(encode(part)) < MAX_BYTES for part in parts)


def test_every_undecodable_event_is_an_error_row_with_a_reason() -> None:
    values = [b"{", None, b"[]", b'{"g":1}', b'{"f":"1"}', b'{"f":1e999}', b'{"f":0.25}']
    polled = Polled(list(range(7)), [None] * 7, [0] * 7, list(values), None)
    (batch,) = batches(4, -1, answerer().score(polled, 0, None))
    assert batch.statuses.tolist() == [ERROR] * 6 + [OK]
    assert all(batch.values[:6])
    assert json.loads(batch.values[6]) == {"p": 0.25, "decision": False}


def test_P9_a_sample_is_the_lowest_buckets_and_reaches_to_the_polls_end() -> None:
    polled = poll(list(range(200)))
    (batch,) = batches(4, -1, answerer().score(polled, 3, 2_000))
    assert batch.sample
    assert batch.upto == 199
    kept = set(batch.offsets.tolist())
    assert kept == {o for o in range(200) if bucket(4, b"k%d" % o) < 2_000}
    assert 0 < len(kept) < 200


def test_P9_a_sample_that_chose_nobody_says_so() -> None:
    nobody = next(o for o in range(1_000) if bucket(4, b"k%d" % o) >= 1)
    (batch,) = batches(4, nobody - 1, answerer().score(poll([nobody]), 0, 1))
    assert (len(batch), batch.upto, batch.sample) == (0, nobody, True)
    assert len(decode(encode(batch))) == 0


def test_P13_sampling_by_a_field_and_by_position_where_it_is_missing() -> None:
    polled = Polled([7, 8], [b"a", b"a"], [0, 0], [b'{"f":0,"m":"x"}', b'{"f":0}'], None)
    (batch,) = batches(4, 6, answerer(bucket_field="m").score(polled, 2, 10_000))
    assert batch.offsets.tolist() == [7, 8]
    share = bucket(4, b"x") + 1
    (batch,) = batches(4, 6, answerer(bucket_field="m").score(polled, 2, share))
    assert 7 in batch.offsets
    assert (8 in batch.offsets) == (bucket(4, b"in/2@8") < share)


def test_carried_fields_are_plain_values_and_never_cut() -> None:
    values = [b'{"f":0,"m":"a","n":3}', b'{"f":0,"m":["no"]}', b"{", json.dumps({"f": 0, "m": "y" * 300}).encode()]
    polled = Polled([0, 1, 2, 3], [None] * 4, [0] * 4, list(values), None)
    (batch,) = batches(4, -1, answerer(("m", "n")).score(polled, 0, None))
    assert batch.carry == {"m": ["a", None, None, None], "n": [3, None, None, None]}
    assert MAX_CARRY_BYTES < 300


class Subclass(str):
    """What a decode hook may make."""


@pytest.mark.parametrize(
    ("value", "travels"),
    [
        (2**64 - 1, 2**64 - 1),
        (2**64, "18446744073709551616"),
        (-(2**63), -(2**63)),
        (-(2**63) - 1, "-9223372036854775809"),
        (10**30, "1" + "0" * 30),
        (10**300, None),  # over the limit of what is carried
        pytest.param(10**20_000, None, id="Python writes no such number"),
        (True, True),
        (np.float64(1.5), 1.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (Subclass("a"), "a"),
        ("\ud800", None),
        ("ü€😀", "ü€😀"),
        ([1], None),
    ],
)
def test_whatever_an_event_holds_there_its_batch_can_be_written(value: object, travels: object) -> None:
    """Else the scorer ends at this event, and again whenever it is started: for ever."""
    for rows in ([{"m": value}], [{"m": 1}, {"m": value}], [{"m": "a"}, {"m": value}]):
        (batch,) = batches(4, -1, scored(carry_columns(rows, ["m"])))
        read = decode(encode(batch)).carry["m"][-1]
        assert (read, type(read)) == (travels, type(travels))
        assert travels is None or field_bytes(carried(rows[-1], "m")) == field_bytes(read), "one bucket for both"


def scored(columns: dict[str, list[Carried]], values: list[bytes] | None = None, **more: Any) -> Scored:
    """A poll whose answers are all alike."""
    n = len(next(iter(columns.values())))
    answered = Answered(np.zeros((n, 1)), np.zeros(n, np.uint8), values or [b"v"] * n)
    polled = Polled(list(range(n)), more.get("keys", [None] * n), [0] * n, [b""] * n, more.get("forwarded"))
    return Scored(polled, answered, columns, None, 0, 0)


def test_P13_a_row_fits_the_topics_with_its_key_and_its_headers() -> None:
    """An input takes a key of nearly 1 MiB: then the answer is what has no room, and this one event gets none."""
    sizes = [(400_000, 100, 0), (400_000, 700_000, 0), (100, 1_048_000, 0), (400_000, 0, 700_000), (524_280, 0, 0)]
    columns: dict[str, list[Carried]] = {"m": ["x" * 256] * len(sizes)}
    more = {"keys": [b"k" * key for _, key, _ in sizes], "forwarded": [[("h", b"h" * size)] for _, _, size in sizes]}
    made = list(batches(4, -1, scored(columns, [b"v" * size for size, _, _ in sizes], **more)))
    statuses = [status for batch in made for status in batch.statuses.tolist()]
    assert statuses == [OK, ERROR, OK, ERROR, ERROR]
    assert max(len(encode(batch)) for batch in made) < MAX_MESSAGE_BYTES - BATCH_OVERHEAD_BYTES


def test_P13_carried_text_of_any_language_fits_the_topics() -> None:
    """The limit is one of characters; those beyond ASCII have up to four bytes."""
    columns: dict[str, list[Carried]] = {"m": ["😀" * 256] * MAX_ROWS}
    made = list(batches(4, -1, scored(columns, [b"v" * 220] * MAX_ROWS)))
    assert sum(map(len, made)) == MAX_ROWS
    assert max(len(encode(batch)) for batch in made) < MAX_MESSAGE_BYTES - BATCH_OVERHEAD_BYTES


def test_what_travels_beside_the_answer_is_the_events_whatever_the_model_does() -> None:
    class Vandal:
        def predict_many(self, events: Events) -> np.ndarray:
            for row in events.rows:
                row["m"] = "overwritten"
            return events.column("f")

    scorer = Answerer(4, Vandal(), SCHEMA, json_rows, Fields(("m",), None), "in")
    (batch,) = batches(4, -1, scorer.score(poll([0], m="mine"), 0, None))
    assert batch.carry == {"m": ["mine"]}


def deployment(**more: object) -> Deployment:
    fields = {"id": 5, "color": "green", "model": "m:1", "digest": "d", "rules": Rules(("p",)), **more}
    return Deployment(**fields)  # type: ignore[arg-type] # a dict of the fields


POSITION = ScorerPosition(5, 17, 99)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param({"committed_offset": 100, "committed": POSITION}, GoOn(100, 17, 99), id="same deployment"),
        pytest.param(
            {"committed_offset": 100, "committed": ScorerPosition(4, 17, 99), "settled": 60},
            Seed(61),
            id="smaller deployment seeds at settled + 1",
        ),
        pytest.param(
            {"committed_offset": 100, "committed": ScorerPosition(6, 17, 99), "settled": 60},
            FoldFirst(6),
            id="larger deployment: fold the log first",
        ),
        pytest.param({"own_covered": 70, "own_end": 9}, GoOn(71, 9, 70), id="position lost, batches exist: never seed"),
        pytest.param({"settled": 60}, Seed(61), id="candidate"),
        pytest.param({"settled": None, "origin": 33}, Seed(33), id="nothing settled yet: live's seed"),
        pytest.param({"settled": 60, "gap_end": 90}, Seed(90), id="behind an accepted gap (P29)"),
        pytest.param({"settled": 99, "gap_end": 90}, Seed(100), id="a gap that is settled"),
        pytest.param({"deployment": deployment(start={3: 40})}, Seed(40), id="first deploy carries its start"),
        pytest.param({"deployment": deployment(start={0: 40})}, Seed(0), id="a partition that did not exist then"),
    ],
)
def test_P11_where_a_deployment_begins_or_goes_on(facts: dict[str, object], expected: object) -> None:
    given_facts = {
        "partition": 3,
        "deployment": deployment(),
        "committed_offset": None,
        "committed": None,
        "own_covered": None,
        "own_end": 0,
        "settled": None,
        "origin": 0,
        "gap_end": 0,
        **facts,
    }
    assert start(**given_facts) == expected  # type: ignore[arg-type] # a dict of the arguments


def test_a_poll_takes_what_the_model_answers_in_a_few_seconds() -> None:
    limit, polls = 1, []
    while limit < pace.MOST:
        polls.append(limit)
        limit = pace.following(limit, limit, limit * 1e-5)
    assert polls == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert pace.following(pace.MOST, pace.MOST, 0.01) == pace.MOST
    assert pace.following(512, 512, 30.0) == int(512 * pace.TURN_S / 30.0)
    assert pace.following(1, 1, 100.0) == 1
    assert pace.following(1_000, 1, 0.5) == 6, "a few events say what many would cost"
    assert pace.following(8, 8, 0.0) == 16
