"""The audit's own fold, route and bookkeeping, piece by piece; fold and bucket agree with the publisher's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from control_log import Log, digest
from hypothesis import given
from hypothesis import strategies as st

from streambg.audit.answers import Lane, State
from streambg.audit.history import Deployed
from streambg.audit.kafka_pins import check_there
from streambg.audit.parsing import HeaderParser, LetterParser, Says, Status
from streambg.audit.presence import MAX_INTERVALS, Missing
from streambg.audit.route import Route, bucket_of, buckets_of, hashed_bytes, hashed_column, route_of
from streambg.audit.sources import Chunk, Role
from streambg.audit.tally import SHOWN, Kind, Tally, choose
from streambg.errors import Misconfigured
from streambg.kafka.admin import TopicFacts
from streambg.records import batch as batches
from streambg.records.bucket import bucket, bucket_keys, buckets
from streambg.records.coverage import Coverage, Take
from streambg.records.outcome import header_template

DEPLOYED = {Deployed("green", 4): 100, Deployed("green", 9): 900, Deployed("blue", 5): 100}


def batch(deployment: int, after: int, offsets: list[int], upto: int, sample: bool = False, tag: str = "") -> bytes:
    n = len(offsets)
    return batches.encode(
        batches.Batch(
            deployment, after, upto, sample, 1, 1, np.array(offsets, np.int64), np.zeros(n, np.int64),
            np.array([offset % 10 == 7 for offset in offsets], np.uint8), np.zeros((n, 1)), [None] * n,
            [f"{tag}{offset}".encode() for offset in offsets],
        )
    )  # fmt: skip


def lane(*values: bytes, start: int = 0, times: list[int] | None = None) -> Lane:
    def chunks() -> Iterator[Chunk]:
        offsets = list(range(start, start + len(values)))
        yield Chunk(offsets, [None] * len(values), times or [1_000 + at for at in offsets], list(values))

    return Lane("green", chunks(), start, DEPLOYED)


def test_P8_rows_above_covered_count_repeats_and_holes_do_not() -> None:
    rows = lane(
        batch(4, 9, [10, 11, 12], 12),
        batch(4, 9, [10, 11, 12, 13], 13, tag="again "),
        batch(4, 14, [15], 15, tag="hole "),
        batch(4, 13, [14, 15], 15),
    ).rows(4, 9, 15, None)
    assert rows.offsets.tolist() == [10, 11, 12, 13, 14, 15]
    assert rows.values == [b"10", b"11", b"12", b"again 13", b"14", b"15"]
    assert rows.at(13).since_ms == 1_001


def test_P9_what_a_missing_row_means() -> None:
    fold = lane(batch(4, 9, [10], 12, sample=True), batch(4, 12, [13, 17], 18))
    rows = fold.rows(4, 4, 30, None)
    states = {offset: rows.at(offset).state for offset in (5, 9, 10, 11, 13, 14, 17, 18, 19)}
    assert states == {
        5: State.UNANSWERED,  # before the deployment's first `after`
        9: State.UNANSWERED,
        10: State.OK,
        11: State.UNANSWERED,  # in a sample
        13: State.OK,
        14: State.NO_ROW,
        17: State.ERROR,
        18: State.NO_ROW,
        19: State.NEVER,
    }
    assert rows.at(5).since_ms == 1_000


def test_P12_behind_a_newer_deployments_first_batch_an_older_one_counts_for_nothing() -> None:
    fold = lane(batch(4, 9, [10], 10), batch(9, 10, [11, 12], 12), batch(4, 10, [11, 12], 12, tag="zombie "))
    assert fold.rows(4, 9, 12, None).at(11).state is State.NEVER
    assert fold.rows(9, 10, 12, None).values == [b"11", b"12"]
    assert fold.rows(4, 12, 13, None).at(13).state is State.UNKNOWN  # the log has passed it


def test_batches_of_nobody_and_of_the_other_color_count_for_nothing() -> None:
    fold = lane(b"garbage", batch(77, 0, [1], 1), batch(5, 0, [1], 1), batch(4, 0, [1], 1))
    assert fold.rows(4, 0, 1, None).values == [b"1"]


def test_P35_behind_a_raised_log_start_the_first_batch_may_be_a_repeat() -> None:
    rows = lane(batch(4, 9, [10, 11], 11), batch(4, 11, [12], 12), start=3).rows(4, 0, 12, None)
    assert [rows.at(offset).state for offset in (5, 10, 11, 12)] == [State.UNKNOWN] * 3 + [State.OK]
    nothing = lane(start=3).rows(4, 0, 12, None)
    assert nothing.at(5).state is State.UNKNOWN


def test_P35_a_deployment_commanded_after_the_oldest_record_left_is_whole() -> None:
    fold = lane(batch(4, 9, [10], 10), batch(9, 10, [11], 11), start=3, times=[800, 950])
    assert fold.rows(9, 9, 11, None).at(11).state is State.OK


INTERVALS = st.lists(st.tuples(st.integers(-2, 6), st.integers(0, 5), st.booleans()), max_size=30)


@given(INTERVALS)
def test_P8_the_audits_fold_is_the_publishers_fold(steps: list[tuple[int, int, bool]]) -> None:
    """Two codes, one rule: random batches around the covered offset."""
    coverage = Coverage(4)
    values, expected = [], {}
    for number, (begin, length, sample) in enumerate(steps):
        after = max(-1, (coverage.covered if coverage.covered is not None else 5) + begin - 3)
        upto = after + length
        offsets = list(range(after + 1, upto + 1))
        values.append(batch(4, after, offsets, upto, sample, tag=f"{number}:"))
        before = coverage.covered
        take, coverage = coverage.take(after, upto, sample)
        if take is Take.ACCEPTED:
            reach = after if before is None else before
            expected.update({offset: f"{number}:{offset}".encode() for offset in offsets if offset > reach})
    rows = lane(*values).rows(4, -1, 10_000, None)
    assert dict(zip(rows.offsets.tolist(), rows.values, strict=True)) == expected
    assert rows.covered == coverage.covered


@given(st.lists(st.one_of(st.none(), st.binary(max_size=9)), min_size=1, max_size=20), st.integers(0, 2**31))
def test_P13_the_audits_bucket_is_the_publishers_bucket(keys: list[bytes | None], salt: int) -> None:
    offsets = list(range(len(keys)))
    theirs = bucket_keys(keys, None, "payments", 3, offsets)
    ours = hashed_column(keys, None, b"payments/3@", offsets)
    assert ours == theirs
    assert buckets_of(ours, salt).tolist() == buckets(salt, theirs).tolist()
    assert bucket_of(ours[0], salt) == bucket(salt, theirs[0])


@given(st.lists(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)), min_size=1))
def test_P13_a_bucket_field_is_hashed_alike(column: list[str | int | float | bool | None]) -> None:
    offsets = list(range(len(column)))
    keys: list[bytes | None] = [b"key"] * len(column)
    assert hashed_column(keys, column, b"payments/3@", offsets) == bucket_keys(keys, column, "payments", 3, offsets)


def test_P13_null_is_not_empty() -> None:
    where = b"payments/3@7"
    assert hashed_bytes(None, None, False, where) == where
    assert hashed_bytes(b"", None, False, where) == b""
    assert hashed_bytes(b"key", None, True, where) == where
    assert [hashed_bytes(b"key", value, True, where) for value in (True, False, 1, "x")] == [
        b"true",
        b"false",
        b"1",
        b"x",
    ]


def routes(rules: str) -> dict[str, Route]:
    log = Log()
    found: dict[str, Route] = {}

    def say(name: str, verb: str, **args: Any) -> None:
        entry = log.say(verb, **args)
        assert entry.accepted, entry.refusal
        route = route_of(entry.state)
        assert route is not None
        found[name] = route

    say("alone", "deploy", color="blue", model="m:1", digest=digest("m:1"), rules=rules)
    say("shadow", "deploy", color="green", model="m:2", digest=digest("m:2"), rules=rules)
    say("weighted", "shift", weight=500, candidate=1)
    say("warm", "promote", candidate=1)
    say("back", "rollback")
    say("aborted", "abort")
    say("retired", "retire", color="green")
    return found


def test_P16_who_may_stand_in_for_whom() -> None:
    strict = routes('{"outputs": ["a"], "live_failed": "dead-letter"}')
    free = routes('{"outputs": ["a"], "live_failed": "candidate"}')
    allowed = {name: route.may_stand_in(route.live.color) for name, route in strict.items()}
    assert allowed == dict.fromkeys(strict, False) | {"warm": True}
    assert {name for name, route in free.items() if route.may_stand_in(route.live.color)} == {"weighted", "warm"}
    assert strict["weighted"].may_stand_in("green")  # live for the candidate, always
    assert {name: route.weight for name, route in strict.items() if route.weight} == {"weighted": 500}
    assert all(route.live_falls_back == log_says for route, log_says in zip(free.values(), _states(), strict=True))


def _states() -> list[bool]:
    """The control fold's own word on P16, which the audit does not use."""
    log = Log()
    rules = '{"outputs": ["a"], "live_failed": "candidate"}'
    entries = [
        log.deploy("blue", "m:1", rules=rules),
        log.deploy("green", "m:2", rules=rules),
        log.say("shift", weight=500, candidate=1),
        log.say("promote", candidate=1),
        log.say("rollback"),
        log.say("abort"),
        log.say("retire", color="green"),
    ]
    return [entry.state.fallback_to_other for entry in entries]


def test_P17_P18_deadlines() -> None:
    rules = '{"outputs": ["a"], "live_failed": "candidate", "late_live_ms": null, "late_candidate_ms": 700}'
    route = routes(rules)["weighted"]
    assert (route.deadline("blue"), route.deadline("green")) == (None, 700)
    assert (route.patience("blue"), route.patience("green")) == (700, 700)  # where live's is `wait`, the candidate's


@given(st.sets(st.integers(0, 60)), st.lists(st.integers(0, 60)))
def test_missing_is_a_set_in_little_space(missing: set[int], rescued: list[int]) -> None:
    intervals, left = Missing(), set(missing)
    intervals.add(np.array(sorted(missing), np.int64))
    for offset in rescued:
        assert intervals.rescue(offset) == (offset in left)
        left.discard(offset)
    assert intervals.count == len(left)
    assert intervals.first(5) == sorted(left)[:5]


def test_missing_stays_small_and_counts_on() -> None:
    missing = Missing()
    missing.add(np.arange(0, 4 * MAX_INTERVALS, 2))
    missing.add(np.arange(10**7, 2 * 10**7))
    assert missing.count == 2 * MAX_INTERVALS + 10**7
    assert missing.first(3) == [0, 2, 4]
    assert missing.rescue(10**7 + 5)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (b"payments/3@17 green m:1 sha256:ab epoch=2 route", Status.OUTCOME),
        (b"payments/3@17 green m:1 sha256:ab epoch=2 supersedes", Status.SUPERSEDES),
        (b"payments/2@17 green m:1 sha256:ab epoch=2 route", Status.WRONG_PARTITION),
        (b"orders/3@17 green m:1 sha256:ab epoch=2 route", Status.FOREIGN),
        (b"payments/3@1_7 green m:1 sha256:ab epoch=2 route", Status.FOREIGN),
        (b"payments/3@17 red m:1 sha256:ab epoch=2 route", Status.FOREIGN),
        (b"payments/3@17 green m:1 sha256:ab epoch=2 route more", Status.FOREIGN),
        (b"payments/3@17 green m:1 sha256:ab epoch=2", Status.FOREIGN),
        (b"payments/3@99999999999999999999999 green m:1 sha256:ab epoch=2 route", Status.FOREIGN),
        (b"payments/3@9999999999999999999 green m:1 sha256:ab epoch=2 route", Status.FOREIGN),
        (b"payments/3@17 green m:1 sha256:ab epoch=99999999999999999999 route", Status.FOREIGN),
        (b"\xff\xfe", Status.FOREIGN),
        (b"", Status.FOREIGN),
        (None, Status.FOREIGN),
    ],
)
def test_headers_are_read_one_by_one_as_in_bulk(header: bytes | None, status: Status) -> None:
    plain = header_template("payments", 3, "blue", "m:1", "sha256:abcdef0123", 2) % (5, b"late")
    parser = HeaderParser("payments", 3)
    for headers in ([header], [plain, header], [header, plain, plain]):
        n = len(headers)
        parsed = parser(Chunk(list(range(n)), [None] * n, [0] * n, [None] * n, headers))
        at = headers.index(header)
        assert parsed.statuses[at] == status
        assert [parsed.offsets[row] for row in range(n) if row != at] == [5] * (n - 1)
        if status is Status.OUTCOME:
            assert (parsed.offsets[at], parsed.epochs[at], parsed.says[at].color) == (17, 2, "green")


def test_dead_letters_that_are_none_are_foreign() -> None:
    values: list[bytes | None] = [None, b"x", b'{"source":"payments/3@x","epoch":1,"chosen":"blue","reasons":{}}']
    values.append(b'{"x":' + b"[" * 100_000)
    values.append(b'{"source":"payments/3@8","epoch":1,"chosen":"blue","reasons":{},"format":1,"supersedes":true}')
    parsed = LetterParser("payments", 3)(Chunk([0, 1, 2, 3, 4], [None] * 5, [0] * 5, values))
    assert parsed.statuses.tolist() == [Status.FOREIGN] * 4 + [Status.SUPERSEDES]


def test_findings_are_few_and_of_every_kind() -> None:
    tally = Tally("payments", 0)
    for offset in range(1_000):
        tally.add(Kind.LOST, offset, "one", "none")
    tally.add(Kind.EXTRA, 5_000, "none", "one")
    assert tally.counts[Kind.LOST] == 1_000
    chosen = choose(tally.findings())
    assert len(chosen) == SHOWN
    assert {finding.kind for finding in chosen} == {Kind.LOST, Kind.EXTRA}


# -- headers

PLAIN = b"payments/3@"
GOOD = (
    b" green fraud:7 sha256:ab12cd34 epoch=42 route",
    b" blue fraud:6 sha256:ef567890 epoch=42 late",
    b" blue fraud:6 sha256:ef567890 epoch=43 route",
)
ODD = (
    *(PLAIN + end + GOOD[0] for end in (b"", b"007", b"1x", b"-1", b"+1", b" 1", b"1\n2", b"\n1", b"1\n")),
    *(PLAIN + b"%d" % number + GOOD[0] for number in (2**62 - 1, 2**62, 10**30)),
    PLAIN + b"1\n" + PLAIN + b"2" + GOOD[0],
    PLAIN + PLAIN + b"1" + GOOD[0],
    b"payments/2@1" + GOOD[0],
    b"others/3@1" + GOOD[0],
    b"12" + GOOD[0],
    PLAIN + b"1" + GOOD[0] + b" on",
    PLAIN + b"1" + GOOD[0] + b"\0",
    PLAIN + b"\0001" + GOOD[0],
    PLAIN + b"1" + GOOD[0].replace(b"fraud", b"f" * 2_000),
    PLAIN + b"1" + GOOD[0].replace(b"route", b"supersedes"),
    PLAIN + b"1",
    b"",
)


@pytest.mark.parametrize("odd", [b"", *ODD])
@pytest.mark.parametrize("at", [0, 2, 4])
def test_headers_read_in_one_go_say_what_each_says_alone(odd: bytes, at: int) -> None:
    """Whatever stands in them: a record that is foreign makes the whole chunk one that is read one by one."""
    headers = [PLAIN + b"%d" % (17 * number) + GOOD[number % 3] for number in range(4)]
    headers[at:at] = [odd] if odd else []
    assert parsed(headers) == parsed([*headers, b"foreign"])[:-1]


def parsed(headers: list[bytes]) -> list[tuple[int, int, int, Says]]:
    count = len(headers)
    found = HeaderParser("payments", 3)(
        Chunk(list(range(count)), [None] * count, [0] * count, [b""] * count, list(headers))
    )
    return list(zip(found.statuses.tolist(), found.offsets.tolist(), found.epochs.tolist(), found.says, strict=True))


@pytest.mark.parametrize(("there", "more"), [((), " --partitions N"), (("payments",), "")])
def test_a_missing_topic_is_said_with_the_command_that_makes_it(there: tuple[str, ...], more: str) -> None:
    """Of how many partitions an input is, a person says."""
    names: dict[Role, str] = {"input": "payments", "output": "alerts"}
    with pytest.raises(Misconfigured, match="no such topic: alerts") as caught:
        check_there(names, {name: TopicFacts(name, "id", 1, 1, 1) for name in there})
    assert caught.value.way_out == f"streambg topics apply{more}"
