"""Wire formats: what is written is read back, and what is broken is refused with a reason (P7, P13, P15, P17)."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_files import loaded, small

from streambg.errors import UpgradeFirst
from streambg.process import sites
from streambg.records import batch as batches
from streambg.records.batch import BadBatch, Batch, Head
from streambg.records.bucket import bucket_keys, buckets
from streambg.records.coverage import Coverage, Standing, Take, standing
from streambg.records.cutover import (
    PublisherPosition,
    ScorerPosition,
    decode_publisher_position,
    decode_scorer_position,
    encode_position,
)
from streambg.records.outcome import (
    DeadLetter,
    Outcome,
    decode_dead_letter,
    encode_dead_letter,
    header_template,
    parse_header,
)
from streambg.records.source import Source, parse_source


def make(after: int, offsets: list[int], upto: int | None = None, **more: object) -> Batch:
    n = len(offsets)
    fields: dict[str, object] = {
        "deployment": 4,
        "after": after,
        "upto": offsets[-1] if upto is None else upto,
        "sample": False,
        "scored_at": 1,
        "spent_us": 2,
        "offsets": np.array(offsets, np.int64),
        "times": np.arange(n, dtype=np.int64),
        "statuses": np.zeros(n, np.uint8),
        "scores": np.arange(2 * n, dtype=np.float64).reshape(n, 2),
        "keys": [b"k%d" % i if i % 2 else None for i in range(n)],
        "values": [b"v%d" % i for i in range(n)],
        "carry": {"machine": [f"m{i}" for i in range(n)]},
        **more,
    }
    return Batch(**fields)  # type: ignore[arg-type] # a dict of the fields


def test_P7_a_batch_comes_back_as_it_was() -> None:
    batch = make(2, [3, 7, 8])
    data = batches.encode(batch)
    read = batches.decode(data)
    assert read.head == Head(4, 2, 8, False) == batches.decode_head(data)
    assert (read.offsets == batch.offsets).all()
    assert (read.scores == batch.scores).all()
    assert list(read.keys) == list(batch.keys)
    assert list(read.values) == list(batch.values)
    assert read.carry == batch.carry


def test_P8_the_numbers_of_a_batch_fold_as_the_batch_does() -> None:
    batch = make(2, [3, 7, 8], upto=9, forwarded=[[("a", b"b")], [], []])
    data = batches.encode(batch)
    whole, numbers = batches.decode(data), batches.decode_numbers(data)
    assert numbers.head == whole.head
    assert len(numbers) == len(whole)
    for name in ("offsets", "times", "statuses", "scores"):
        assert (getattr(numbers, name) == getattr(whole, name)).all()
    assert list(numbers.values) == [b"", b"", b""]


def test_an_empty_batch_says_that_nothing_stood_in_the_interval() -> None:
    empty = make(2, [], upto=9, scores=np.empty((0, 2)), carry={})
    assert len(batches.decode(batches.encode(empty))) == 0


@pytest.mark.parametrize(
    "broken",
    [
        make(2, [3, 3, 8]),
        make(3, [3, 7, 8]),
        make(2, [3, 7, 8], upto=7),
        make(9, [], upto=8),
        make(2, [3, 7], times=np.zeros(1, np.int64)),
        make(2, [3, 7], scores=np.zeros(3)),
        make(2, [3, 7], keys=[b"a"]),
        make(2, [3, 7], carry={"machine": ["m"]}),
        make(2, [3, 7], forwarded=[[]]),
    ],
)
def test_columns_that_contradict_each_other_are_refused(broken: Batch) -> None:
    with pytest.raises(BadBatch):
        batches.decode(batches.encode(broken))


@pytest.mark.parametrize(
    "broken",
    [
        make(2, [3, 3, 8]),
        make(2, [3, 7, 8], upto=7),
        make(2, [3, 7], times=np.zeros(1, np.int64)),
        make(2, [3, 7], scores=np.zeros(3)),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(broken: Batch) -> None:
    with pytest.raises(BadBatch):
        batches.decode_numbers(batches.encode(broken))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_bad_batches(data: bytes) -> None:
    for decode in (batches.decode, batches.decode_numbers):
        with pytest.raises((BadBatch, UpgradeFirst)):
            decode(data)


def test_what_no_decoder_likes_is_a_bad_batch_too() -> None:
    """A text that is no UTF-8, and brackets as deep as one likes: errors of other kinds, in the same place."""
    fields = [1, 1, -1, 0, False, 0, 0, b"\0" * 8, b"\0" * 8, b"\0", b"\0" * 8, None, [b"x"], {"a": ["zz"]}, None]
    deep = b"\xdc\x00\x10" + msgspec.msgpack.encode(fields)[1:] + b"\x91" * 100_000 + b"\x01"
    for data in (msgspec.msgpack.encode(fields).replace(b"zz", b"\xff\xfe"), deep):
        with pytest.raises(BadBatch):
            batches.decode(data)
    with pytest.raises(BadBatch, match="nested too deeply"):
        batches.decode_head(deep)


def test_P5_a_newer_batch_format_says_upgrade() -> None:
    with pytest.raises(UpgradeFirst, match="format 2"):
        batches.decode(msgspec.msgpack.encode([2, 1, 0, 1, False, "columns nobody knows yet"]))
    with pytest.raises(UpgradeFirst, match="format 2"):
        batches.decode_numbers(msgspec.msgpack.encode([2, 1, 0, 1, False, "columns nobody knows yet"]))


def test_P13_a_null_key_is_hashed_by_its_source_position_and_is_not_the_empty_key() -> None:
    keys = bucket_keys([None, b"", b"a"], None, "in", 3, [10, 11, 12])
    assert keys == [b"in/3@10", b"", b"a"]
    assert bucket_keys([b"x"] * 3, ["m1", None, True], "in", 3, [10, 11, 12]) == [b"m1", b"in/3@11", b"true"]


def test_raising_the_weight_never_moves_a_key_back_and_the_salt_moves_keys() -> None:
    keys = [b"key%d" % i for i in range(20_000)]
    one, two = buckets(17, keys), buckets(18, keys)
    assert ((one >= 0) & (one < 10_000)).all()
    assert set(np.flatnonzero(one < 1_000)) <= set(np.flatnonzero(one < 5_000))
    share = (one < 1_000).mean()
    assert 0.09 < share < 0.11  # 5 standard deviations of a fair hash
    assert (one != two).mean() > 0.99


def test_P15_the_header_names_source_color_model_epoch_and_why() -> None:
    template = header_template("pay%ments", 3, "green", "fraud:7", "sha256:ab12cd34ef", 42)
    text = template % (1234, b"route")
    assert text == b"pay%ments/3@1234 green fraud:7 sha256:ab12cd34 epoch=42 route"
    template = header_template("payments", 3, "green", "fraud:7", "sha256:ab12cd34ef", 42)
    outcome = Outcome(Source("payments", 3, 1234), "green", "fraud:7", "sha256:ab12cd34", 42, "absent")
    assert parse_header(template % (1234, b"absent")) == outcome


@pytest.mark.parametrize(
    "text", [b"", b"a b c", b"p/3@1 red m d epoch=1 route", b"p/3@1 blue m d epoch=1 whim", b"p@1"]
)
def test_what_is_no_header_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"header|position"):
        parse_header(text)


def test_source_positions_are_written_and_read() -> None:
    assert str(Source("payments", 3, 1234)) == "payments/3@1234"
    assert parse_source("payments/3@1234") == Source("payments", 3, 1234)
    with pytest.raises(ValueError, match="topic/partition@offset"):
        parse_source("payments@3")


def test_P17_a_dead_letter_holds_the_reasons_of_both() -> None:
    letter = DeadLetter(Source("in", 0, 7), 42, "blue", {"blue": "missing feature f3", "green": "none"})
    assert decode_dead_letter(encode_dead_letter(letter)) == letter
    with pytest.raises(ValueError, match=r".+"):
        decode_dead_letter(b"{}")


def test_P8_repeats_are_dropped_and_holes_not_accepted() -> None:
    state = Coverage(4)
    take, state = state.take(9, 12)
    assert (take, state.covered) == (Take.ACCEPTED, 12)
    take, state = state.take(9, 12)
    assert (take, state.covered) == (Take.REPEAT, 12)
    take, state = state.take(10, 15)
    assert (take, state.covered) == (Take.ACCEPTED, 15)
    take, state = state.take(16, 20)
    assert (take, state.covered) == (Take.HOLE, 15)


def test_P9_a_sample_is_remembered_as_far_as_it_reaches() -> None:
    _, state = Coverage(4).take(-1, 10, sample=True)
    _, state = state.take(10, 20)
    assert state == Coverage(4, 20, 10)


def test_P12_only_a_smaller_deployment_is_replaced() -> None:
    assert standing(5, 5, 9) is Standing.IN_FORCE
    assert standing(4, 5, 9) is Standing.REPLACED
    assert standing(10, 5, 9) is Standing.BLOCKED
    assert standing(7, 5, 9) is Standing.UNKNOWN
    assert standing(7, None, 6) is Standing.BLOCKED


@given(st.lists(st.tuples(st.integers(-1, 30), st.integers(0, 8)), max_size=30))
def test_P8_the_fold_equals_its_definition(intervals: list[tuple[int, int]]) -> None:
    """Against the rule written out naively: which offsets count, and from which batch."""
    state, counted = Coverage(1), {}
    expected, covered = {}, None
    for number, (after, length) in enumerate(intervals):
        upto = after + length
        before = after if state.covered is None else state.covered
        take, state = state.take(after, upto)
        if take is Take.ACCEPTED:
            counted |= dict.fromkeys(range(before + 1, upto + 1), number)
        if covered is None:
            covered = after
        if after <= covered < upto:
            expected |= dict.fromkeys(range(covered + 1, upto + 1), number)
            covered = upto
    assert counted == expected
    assert state.covered == covered


# -- metadata of committed positions ----------------------------------------------------------------------------------


def test_P4_positions_of_a_version_that_did_not_say_its_rules_are_still_read() -> None:
    assert decode_publisher_position('[1199,42,"tx.0",17,null,-1]') == PublisherPosition(1199, 42, "tx.0", 17, None, -1)
    assert decode_scorer_position("[42,118,1203]") == ScorerPosition(42, 118, 1203, "")


def test_P4_an_older_version_reads_positions_that_say_their_rules() -> None:
    """P5: no order in which processes are upgraded may lose a position."""

    class Old(msgspec.Struct, array_like=True):
        deployment: int
        checked: int
        covered: int

    said = encode_position(ScorerPosition(42, 118, 1203, "ab12cd34"))
    assert msgspec.json.decode(said, type=Old) == Old(42, 118, 1203)


def test_P4_a_process_says_the_first_digits_of_its_own_files_rules(tmp_path: Path) -> None:
    pipeline = loaded(tmp_path, small())
    digits = pipeline.deciding_digest().removeprefix("sha256:")[:8]
    assert sites.publisher(pipeline, 0).rules == sites.scorer(pipeline, "blue", 0).rules == digits
