"""A replay's report as documents, for tests of what is made of it: 4,000 events of two machines, a model that is worse
on one of them, with everything a report can hold.
"""

from __future__ import annotations

from dataclasses import replace
from math import log

from streambg.deciding.verdict import Test
from streambg.replaying.document import FORMAT, Latency, Report, Scored, Timing
from streambg.replaying.found import (
    Agreement,
    Answer,
    AsIf,
    Changes,
    Example,
    Judged,
    Labelled,
    MetricRow,
    Proof,
    Side,
    Unlike,
)
from streambg.replaying.plotted import Bin, Calibration, Charts, Moment, Path
from streambg.replaying.recorded import Answering, Counts, Hole, Identity, ModelVersion, TopicRange

NEEDED_GOOD, NEEDED_HARM = log(3 / 0.05), log(4 / 0.01)
OLD = ModelVersion("fraud:7", "sha256:" + "7a" * 32, "river", {"river": "0.26.1"})
NEW = ModelVersion("fraud:8", "sha256:" + "8b" * 32, "river", {"river": "0.26.1"})
BEGAN_MS = 1_795_000_000_000


def _test(field: str, value: str, mean: float, log_good: float, log_harm: float, events: int = 2_000) -> Test:
    return Test(
        "flips",
        "guardrail",
        field,
        value,
        events,
        mean,
        log_good,
        NEEDED_GOOD,
        log_harm,
        NEEDED_HARM,
        True,
        False,
        0 if log_good >= NEEDED_GOOD else 9_000,
    )


VERDICT = Judged(
    word="abort",
    exit_code=10,
    ready=False,
    reasons=(
        (
            "flips in machine=m2: harm beyond 5 points, evidence over a million of the 400 needed: "
            "mean -5.00 points over 2,000 events"
        ),
    ),
    events=4_000,
    coverage=0.99975,
    evidence="sha256:" + "c3" * 32,
    tests=(
        _test("", "", -0.025, -30.0, 3.0, 4_000),
        _test("machine", "m1", -0.0005, 9.5, -12.0),
        _test("machine", "m2", -0.05, -44.25, 21.5),
    ),
    noise={"shift": 0.0125},
    left_out={"slow": "a replay has no time of arrival"},
)
AGREEMENT = Agreement(
    matched=4_000,
    compared=3_990,
    agree=3_890,
    flips_to_yes=88,
    flips_to_no=12,
    values_equal=1_234,
    only_against=1,
    only_model=2,
    errors_against=3,
    errors_model=5,
    errors_both=2,
    difference_mean=0.0125,
    difference_deviation=0.25,
    difference_quantiles={"p1": -0.5, "p50": 0.0, "p99": 0.75},
)
QUANTILES = {"p1": 0.01, "p5": 0.02, "p25": 0.1, "p50": 0.2, "p75": 0.3, "p95": 0.8, "p99": 0.97}


def _metric(field: str, value: str, events: int, mean: float) -> MetricRow:
    return MetricRow(
        "flips", "flip_rate", "guardrail", field, value, events, mean, mean - 0.01, mean + 0.01, 0.03, 0, 0.015
    )


def _change(field: str, value: str, events: int, to_yes: int, to_no: int) -> Changes:
    return Changes(field, value, events, events // 2, to_yes, to_no, events, 3, 5)


def _example(at: int) -> Example:
    score = 0.97 - at / 100
    return Example(
        f"payments/{at % 3}@{7_000 + at}",
        BEGAN_MS + at * 1_001,
        f"m{1 + at % 2}",
        Answer(0.015625, False, '{"fraud":0.015625}'),
        Answer(score, True, f'{{"fraud":{score}}}'),
        score - 0.015625,
        True,
        {"machine": f"m{1 + at % 2}", "amount": str(at), "card_token": "***"},
    )


CHARTS = Charts(
    scores=tuple(Bin(n / 10, (n + 1) / 10, 2_000 >> n, 1_500 >> n) for n in range(10)),
    width_ms=60_000,
    moments=tuple(
        Moment(BEGAN_MS + n * 60_000, 100, 100 - n % 5, 0.2, 0.2 + n / 400) for n in range(40) if n not in (20, 21)
    ),
    paths=(
        Path(
            "flips",
            NEEDED_GOOD,
            NEEDED_HARM,
            tuple(range(100, 4_100, 100)),
            tuple(-n * 0.75 for n in range(40)),
            tuple(n * 0.54 for n in range(40)),
        ),
    ),
    calibration=tuple(
        Calibration(side, n / 10, (n + 1) / 10, 100 - n, n / 10 + 0.05, n / 10 + offset)  # type: ignore[arg-type] # the two sides
        for side, offset in (("against", 0.05), ("model", 0.02))
        for n in range(10)
    ),
)
SCORED = Scored(
    model=NEW,
    verdict=VERDICT,
    proof=Proof(0, 0, 0, 0, 0, ()),
    agreement=AGREEMENT,
    against=Side(4_000, 5, 0.21, 0.3, QUANTILES),
    scores=Side(4_000, 7, 0.24, 0.31, QUANTILES),
    metrics=(
        _metric("", "", 4_000, -0.025),
        _metric("machine", "m1", 2_000, -0.0005),
        _metric("machine", "m2", 2_000, -0.05),
    ),
    flips=(
        _change("", "", 4_000, 88, 12),
        _change("machine", "m1", 2_000, 1, 0),
        _change("machine", "m2", 2_000, 87, 12),
    ),
    as_if=AsIf(
        5_000,
        (_change("", "", 4_000, 44, 6), _change("machine", "m1", 2_000, 0, 0), _change("machine", "m2", 2_000, 44, 6)),
        {"flips": -0.0125},
    ),
    examples=tuple(map(_example, range(20))),
    reasons=(("feature amount is missing", 4), ("model raised ValueError", 3)),
    charts=CHARTS,
    labels=Labelled(3_600, 3_700, 3_589, 3_650, {"no such event": 50}),
)
REPORT = Report(
    format=FORMAT,
    identity=Identity(
        id="0123456789abcdef" * 4,
        pipeline="fraud",
        cluster_id="MkU3OEVBNTcwNTJENDM2Qg",
        topics=(
            TopicRange("input", "payments", "q5u1cDv3SZ6b3p2Ksi2rTA", 0, 100, 2_100),
            TopicRange("output", "decisions", "Yk1cDv3SZ6b3p2Ksi2rTAw", 0, 90, 2_080),
        ),
        models=(NEW,),
        against="published",
        against_model=None,
        rules_digest="sha256:" + "d4" * 32,
        epoch=42,
        settled={"0": 2_099, "1": 2_100},
        as_if_weight=5_000,
        labels=True,
        versions={"streambg": "0.1.0", "numpy": "2.4.0", "python": "3.11.7"},
    ),
    decision="fraud",
    threshold=0.5,
    counts=Counts(
        events=4_001,
        partitions=2,
        first_ms=BEGAN_MS,
        last_ms=BEGAN_MS + 2_400_000,
        came={"route": 3_990, "error": 8, "dead-letter": 3},
        answering=(Answering("blue", 3, "fraud:7", OLD.digest, 3_998),),
        supersedes=2,
        holes=(Hole(0, 100, 110, 10, "expired: the input begins at 110"),),
    ),
    models=(SCORED,),
)
TIMING = Timing(REPORT.id, BEGAN_MS + 9_000_000, 12.5, 4_001, 320.08, 2, (Latency("fraud:8", 4.25, 3.5, 19.75),))


def proved(proof: Proof) -> Report:
    """The report with another proof."""
    return replace(REPORT, models=(replace(SCORED, proof=proof),))


UNLIKE = Unlike("payments/0@1234", 3, '{"fraud":0.5}', '{"fraud":0.25}', False)
