"""What decides about a candidate: read, checked, and carried by `deploy` and `rollout-start` (P4)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_files import deciding, loaded, small

from streambg.config import Pipeline, load
from streambg.config.deciding import parse_hours
from streambg.errors import ConfigError
from streambg.records.gate import Gate
from streambg.records.rules import Rules
from streambg.rollout.plan import Hours, Plan, Step

REFERENCE = Path(__file__).parents[2] / "pipeline.yaml"


def gate(pipeline: Pipeline) -> Gate:
    found = pipeline.gate()
    assert found is not None
    return found


def plan(pipeline: Pipeline) -> Plan:
    found = pipeline.plan()
    assert found is not None
    return found


def test_the_reference_pipeline_decides_by_what_it_declares() -> None:
    pipeline = load(REFERENCE, {})
    metrics = {metric.name: metric for metric in gate(pipeline).metrics}
    assert [metric.name for metric in gate(pipeline).deciding] == ["correct", "errors", "flips"]
    assert (metrics["flips"].margin, metrics["flips"].abort_margin, metrics["flips"].segment_margin) == (
        0.03,
        0.015,
        0.1,
    )
    assert metrics["slow"].limit_ms == 1_000
    steps = plan(pipeline).steps
    assert [step.weight for step in steps] == [0, 1_000, 5_000]
    assert steps[0].gates == ("errors", "flips")
    assert steps[1].gates == ("correct", "errors", "flips")
    assert plan(pipeline).promotes


def test_every_default_is_written_out(tmp_path: Path) -> None:
    found = gate(loaded(tmp_path, deciding()))
    assert (found.alpha_promote, found.alpha_abort, found.rows, found.labels_covered) == (0.05, 0.01, 0.999, 0.95)
    assert found.labels is not None
    assert (found.labels.horizon_ms, found.labels.sample, found.labels.depends_on_answer) == (60_000, 10_000, False)
    correct, cost, slow = found.metric("correct"), found.metric("cost"), found.metric("slow")
    assert (correct.better, correct.needs_label, correct.abort_margin) == ("higher", True, 0.0025)
    assert list(found.places(correct)) == [
        *(("machine", value) for value in ("m1", "m2", "other")),
        *(("tier", value) for value in ("1", "2", "other")),
    ]
    assert (cost.low, cost.high, cost.better, cost.margin, cost.directed) == (0, 50, "lower", None, True)
    assert (slow.abort_margin, slow.limit_ms, slow.needs_label) == (0.0, 200, False)
    assert not found.metric("flips").directed


def test_a_pipeline_without_metrics_has_no_gate_and_no_plan(tmp_path: Path) -> None:
    pipeline = loaded(tmp_path, small())
    assert (pipeline.gate(), pipeline.plan()) == (None, None)
    assert Rules.from_text(pipeline.deciding_text()).gate is None


def test_the_plan_is_what_the_file_says(tmp_path: Path) -> None:
    found = plan(loaded(tmp_path, deciding()))
    every = ("correct", "errors", "flips", "slow")
    assert found.steps == (
        Step(0, 3_000, 0, 600_000, ("errors", "flips")),
        Step(
            1_250,
            0,
            300_000,
            3_600_000,
            every,
            False,
            Hours((0, 1, 2, 3, 4), 540, 1_020, "Europe/Berlin"),
            "http://a:1/ok",
        ),
        Step(5_000, 0, 0, 600_000, every, True),
    )
    assert (found.promotes, found.on_abort, found.on_inconclusive) == (True, "shadow", "hold")
    assert (found.gate.max_lag_ms, found.watch_ms, found.keep_warm_ms) == (5_000, 3_600_000, 86_400_000)


def test_P4_the_plans_text_is_read_back_and_its_digest_is_the_texts(tmp_path: Path) -> None:
    found = plan(loaded(tmp_path, deciding()))
    assert Plan.from_text(found.text()) == found
    assert Plan.from_text(found.text()).digest == found.digest == Rules.digest_of(found.text())


def test_P4_deploy_carries_the_gate_and_a_plan_fits_only_that(tmp_path: Path) -> None:
    pipeline = loaded(tmp_path, deciding())
    rules = Rules.from_text(pipeline.deciding_text())
    assert rules.gate is not None
    assert Gate.from_data(rules.gate) == gate(pipeline)
    assert plan(pipeline).fits(rules)
    looser = loaded(tmp_path, deciding().replace("margin: 3%", "margin: 4%"))
    assert not plan(looser).fits(rules), "margins are declared before the run"
    slower = loaded(tmp_path, deciding().replace("within: 1h", "within: 2h"))
    assert plan(slower).fits(rules)
    assert not plan(pipeline).fits(Rules.from_text(loaded(tmp_path, small()).deciding_text()))


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("margin: 3%", "margin: 4%"),
        ("[m1, m2]", "[m1, m3]"),
        ("rollout:", "rollout:\n  alpha: {promote: 1%}"),
        ("rollout:", "rollout:\n  coverage: {rows: 99%}"),
        ("horizon: 60s", "horizon: 61s"),
    ],
)
def test_P4_a_gate_that_changes_changes_what_decides(tmp_path: Path, was: str, becomes: str) -> None:
    before, after = loaded(tmp_path, deciding()), loaded(tmp_path, deciding().replace(was, becomes, 1))
    assert before.deciding_digest() != after.deciding_digest()
    assert plan(before).digest != plan(after).digest


def test_P4_steps_change_the_plan_and_not_what_deploy_carries(tmp_path: Path) -> None:
    before = loaded(tmp_path, deciding())
    after = loaded(tmp_path, deciding().replace("approval: true", "approval: false"))
    assert before.deciding_digest() == after.deciding_digest()
    assert plan(before).digest != plan(after).digest


def test_P5_a_gate_of_a_newer_format_is_no_gate_here_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    data = gate(loaded(tmp_path, deciding())).data()
    assert Gate.from_data({**data, "format": 2, "metrics": 7}) is None
    for broken in (
        {**data, "metrics": 7},
        {**data, "metrics": [*data["metrics"], data["metrics"][0]]},
        {**data, "segments": {}},
        {**data, "metrics": [{**data["metrics"][0], "margin": None}]},
        {**data, "metrics": [{**data["metrics"][0], "high": 0.0}]},
    ):
        with pytest.raises(ValueError, match=r"Expected|twice|no margin|not declared|has the range"):
            Gate.from_data(broken)


@pytest.mark.parametrize("text", ["{}", "", "[]"])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"missing|truncated|Expected"):
        Plan.from_text(text)


def test_a_plan_whose_weights_fall_or_whose_gates_decide_nothing_is_refused(tmp_path: Path) -> None:
    text = plan(loaded(tmp_path, deciding())).text()
    with pytest.raises(ValueError, match=r"\[0, 1250, 1250\] of the steps do not rise"):
        Plan.from_text(text.replace('"weight":5000', '"weight":1250'))
    with pytest.raises(ValueError, match=r"step 0 waits for \['cost'\]"):
        Plan.from_text(text.replace('"gates":["errors","flips"]', '"gates":["cost"]'))


# -- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("was", "becomes", "line", "said"),
    [
        (
            "key: event_id",
            "key: id",
            14,
            "labels.key: `id` is not carried by predictions (carried: event_id, machine, tier)",
        ),
        ("topic: outcomes", "topic: fraud-events", 14, "labels.topic: `fraud-events` is the input, the output or"),
        ("horizon: 60s", "horizon: 60", 14, "labels.horizon: 60 is no duration"),
        ("horizon: 60s", "horizon: 60s, sample: 0%", 14, "labels.sample: 0% is not above 0%"),
        ("machine: [m1, m2]", "machine: [m1, m1]", 15, "segments.machine: `m1` is named 2 times"),
        (
            "machine: [m1, m2]",
            "machine: [other]",
            15,
            "segments.machine: `other` is what all values that are not declared",
        ),
        ("machine: [m1, m2]", "machine: []", 15, "segments.machine: has 0 entries, at least 1 must be there"),
        ("tier: [1, 2]", "tier: [1, 2], shop: [a]", 15, "segments.shop: `shop` is not carried by predictions"),
        ("[machine, tier]", "[machine]", 15, "segments.tier: no metric looks at it"),
        (
            "[machine, tier]",
            "[machine, tier, tear]",
            17,
            "metrics.correct.segments: `tear` is not declared in `segments`; did you mean `tier`?",
        ),
        (
            "kind: correctness",
            "kind: corectness",
            17,
            "metrics.correct.kind: `corectness` is no kind of metric; did you mean `correctness`?",
        ),
        ("margin: 0.5%", "margin: 0%", 17, "metrics.correct.margin: 0.00% is not between 0 % and 100 % of the range"),
        ("margin: 0.5%, ", "", 17, "metrics.correct: a goal needs a `margin`"),
        ("margin: 0.5%", "margin: 0.5", 17, "metrics.correct.margin: 0.5 is no percentage"),
        ("margin: 0.5%", "margn: 0.5%", 17, "metrics.correct.margn: no such key; did you mean `margin`?"),
        ("segment_margin: 2%", "segment_margin: 0%", 17, "metrics.correct.segment_margin: 0.00% is not between"),
        (
            "role: goal",
            "role: gaol",
            17,
            "metrics.correct.role: 'gaol' should be 'goal', 'guardrail' or 'diagnostic'; did you mean `goal`?",
        ),
        (", range: [0, 50]", "", 18, "metrics.cost: `kpi:missed` needs a `range`"),
        ("[0, 50]", "[50, 0]", 18, "metrics.cost.range: [50, 0] does not rise"),
        ("better: lower, ", "", 18, "metrics.cost: `kpi:missed` needs `better: higher` or `better: lower`"),
        ("role: diagnostic", "role: diagnostic, margin: 1%", 18, "metrics.cost.margin: a diagnostic decides nothing"),
        ("error_rate", "error_rate, better: lower", 19, "metrics.errors.better: `error_rate` takes no `better`"),
        ("error_rate", "error_rate, range: [0, 2]", 19, "metrics.errors.range: `error_rate` has the range [0, 1]"),
        ("error_rate", "error_rate, limit: 1s", 19, "metrics.errors.limit: `error_rate` takes no `limit`"),
        ("error_rate", "error_rate, labels: true", 19, "metrics.errors.labels: `error_rate` takes no `labels`"),
        ("error_rate", "error_rate, floor: 1%", 19, "metrics.errors.floor: `error_rate` takes no `floor`"),
        (
            "error_rate",
            "error_rate, segment_margin: 1%",
            19,
            "metrics.errors.segment_margin: the metric names no `segments`",
        ),
        (
            "margin: 3%",
            "margin: 99.9%",
            20,
            "metrics.flips.margin: 99.90% with the floor 0.005 is not between 0 % and 100 %",
        ),
        (", limit: 200ms", "", 21, "metrics.slow: `latency_over` needs a `limit`, such as 200ms"),
        ("abort_margin: 0%", "abort_margin: 3%", 21, "metrics.slow.abort_margin: 3.00% is above the margin 2.00%"),
        (
            "rollout:",
            "rollout:\n  alpha: {promote: 60%}",
            23,
            "rollout.alpha.promote: 60% is above 50%",
        ),
        (
            "rollout:",
            "rollout:\n  after_promotion: {watch: 2h, keep_warm: 1h}",
            23,
            "rollout.after_promotion.keep_warm: 1h is shorter than `watch` 2h",
        ),
        (
            "weight: 0,",
            "weight: 12.5,",
            25,
            "rollout.steps[1].weight: the weight 12.5 % is not above the 12.5 % of the step before",
        ),
        ("weight: 50", "weight: 100", 26, "rollout.steps[2].weight: 100 % is what promote is for"),
        ("weight: 50", "weigth: 50", 26, "rollout.steps[2].weigth: no such key; did you mean `weight`?"),
        ("weight: 50, ", "", 26, "rollout.steps[2].weight: is missing"),
        (
            "[errors, flips]",
            "[errors, flip]",
            24,
            "rollout.steps[0].gates: `flip` is not declared in `metrics`; did you mean `flips`?",
        ),
        ("[errors, flips]", "[cost]", 24, "rollout.steps[0].gates: `cost` is a diagnostic and decides nothing"),
        ("[errors, flips]", "[errors, errors]", 24, "rollout.steps[0].gates: `errors` is named 2 times"),
        ("within: 10m, gates: [", "gates: [", 24, "rollout.steps[0]: a step with gates needs `within`"),
        ("at_least: 5m", "at_least: 2h", 25, "rollout.steps[1].within: 1h is shorter than `at_least` 2h"),
        (
            "mon-fri 09:00",
            "mon-fry 09:00",
            25,
            "rollout.steps[1].hours: 'mon-fry 09:00-17:00 Europe/Berlin' names no days of mon,",
        ),
        (
            "http://a:1/ok",
            "http://me:secret@a:1/ok",
            25,
            "rollout.steps[1].check: the plan stands in the control log for ever",
        ),
        ("http://a:1/ok", "a:1/ok", 25, "rollout.steps[1].check: 'a:1/ok' is no address"),
        ("    - promote\n", "    - promot\n", 27, "rollout.steps[3]: 'promot' is no step"),
        (
            "    - promote\n",
            "    - promote\n    - {weight: 60, within: 1h}\n",
            27,
            "rollout.steps[3]: promote is the last step",
        ),
    ],
)
def test_contradictions_are_named_with_their_line(tmp_path: Path, was: str, becomes: str, line: int, said: str) -> None:
    text = deciding()
    assert was in text
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text.replace(was, becomes, 1))
    assert f"pipeline.yaml:{line}: {said}" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1, "one cause, one message"


def test_a_plan_that_nothing_decides_is_refused(tmp_path: Path) -> None:
    for more in ("rollout: {steps: [{weight: 5, within: 1h}, promote]}\n", "rollout: {steps: [promote]}\n"):
        with pytest.raises(ConfigError, match=r"rollout\.steps: no metric is a goal or a guardrail"):
            loaded(tmp_path, small() + more)
    one = "metrics: {errors: {kind: error_rate, role: guardrail, margin: 1%}}\nrollout: {steps: [promote]}\n"
    with pytest.raises(ConfigError, match="a plan does not begin with promote"):
        loaded(tmp_path, small() + one)


@pytest.mark.parametrize(
    ("features", "says"),
    [
        ("[event_id]", None),
        (
            "[event_id, amount]",
            "drift.features: `amount` is not carried by predictions (carried: event_id, machine, tier)",
        ),
        ("[event_id, event_id]", "drift.features: `event_id` is named 2 times"),
        ("[machine]", "drift.features: `machine` is a string; drift is watched of numbers"),
    ],
)
def test_P4_deploy_carries_the_fields_whose_drift_is_watched(tmp_path: Path, features: str, says: str | None) -> None:
    text = deciding().replace("features: {", "features: {machine: string, ", 1)
    watching = f"{text}drift: {{features: {features}}}\n"
    if says is not None:
        with pytest.raises(ConfigError, match=re.escape(says)):
            loaded(tmp_path, watching)
        return
    without = loaded(tmp_path, text).deciding_text()
    assert '"drift"' not in without, "the digest of those who watch none is what it was"
    assert Rules.from_text(without).drift == ()
    assert Rules.from_text(loaded(tmp_path, watching).deciding_text()).drift == ("event_id",)


def test_a_label_metric_without_labels_is_refused(tmp_path: Path) -> None:
    one = "metrics: {correct: {kind: correctness, role: goal, margin: 1%}}\n"
    with pytest.raises(ConfigError, match=r"13: metrics\.correct\.kind: `correctness` needs labels, and there is no"):
        loaded(tmp_path, small() + one)


def test_labels_that_depend_on_the_answer_promote_by_a_person_only(tmp_path: Path) -> None:
    text = deciding().replace("horizon: 60s", "horizon: 60s, depends_on_answer: true")
    assert plan(loaded(tmp_path, text)).gate.labels is not None
    with pytest.raises(ConfigError, match=r"steps\[3\]: the answer decides whether a label exists .* `correct` cannot"):
        loaded(tmp_path, text.replace(", approval: true", ""))


@pytest.mark.parametrize(
    ("text", "days", "opens", "closes"),
    [
        ("mon-fri 09:00-17:00 UTC", (0, 1, 2, 3, 4), 540, 1_020),
        ("sat 00:00-24:00 UTC", (5,), 0, 1_440),
        ("sat-mon 10:30-10:31 UTC", (0, 5, 6), 630, 631),
    ],
)
def test_hours(text: str, days: tuple[int, ...], opens: int, closes: int) -> None:
    assert parse_hours(text) == Hours(days, opens, closes, "UTC")


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "mon",
        "mon 9:00-17:00 UTC",
        "mon 17:00-09:00 UTC",
        "mon 09:60-17:00 UTC",
        "mon 09:00-24:01 UTC",
        "mon 09:00-17:00 Mars/Base",
        7,
    ],
)
def test_no_hours(bad: object) -> None:
    with pytest.raises(ValueError, match=r"are no hours|do not begin|no time zone"):
        parse_hours(bad)


@given(st.integers(0, 6), st.integers(0, 6))
def test_days_go_round_the_week(first: int, last: int) -> None:
    names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    days = parse_hours(f"{names[first]}-{names[last]} 08:00-09:00 UTC").days
    assert {first, last} <= set(days)
    assert len(days) == (last - first) % 7 + 1
