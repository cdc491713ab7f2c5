"""What `streambg doctor` says of a cluster, fact by fact: one thing is made wrong, and it must be named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from ailments import APIS, AS_INPUT, BROKER, CASES, COMMON, DAY_MS, HOUR, SETTINGS, with_broker, with_topic
from pipeline_files import deciding, loaded, small

from streambg.config import Pipeline
from streambg.doctor.examine import CHECKS, NAMES, Diagnosis, examine, questions
from streambg.doctor.facts import (
    OFFSETS,
    TRANSACTIONS,
    Binding,
    Broker,
    Clock,
    Facts,
    Group,
    GroupMember,
    Question,
    Redis,
    Topic,
    Waiting,
    Wanted,
)
from streambg.doctor.finding import Finding, Verdict
from streambg.doctor.labels import waiting
from streambg.doctor.report import as_json
from streambg.records.source import COLORS
from streambg.topicplan.acls import acls, principals
from streambg.topicplan.declared import load_topics


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return loaded(tmp_path, small("fraud", "broker:9092"))


@pytest.fixture
def good(pipeline: Pipeline) -> Facts:
    """A cluster of three brokers where all is well, with members in every group."""
    declared = load_topics(pipeline)
    topics = {
        each.name: Topic(each.name, 4 if each.part in AS_INPUT else 1, 3, 3, SETTINGS[each.part]) for each in declared
    }
    topics |= {name: Topic(name, 50, 3, 3, COMMON) for name in (OFFSETS, TRANSACTIONS)}
    groups = [pipeline.groups.publisher, *(pipeline.groups.scorer(color) for color in COLORS)]
    return Facts(
        pipeline="fraud",
        bootstrap="broker:9092",
        secured=False,
        copies_times=False,
        transactional_ids=pipeline.transactional_ids,
        publisher_group=pipeline.groups.publisher,
        declared=declared,
        topics=topics,
        brokers=[Broker(number, BROKER, APIS) for number in (1, 2, 3)],
        acls=[
            Binding(acl.kind, acl.name, acl.pattern, who, acl.operation, True)
            for acl in acls(pipeline, declared)
            for who in [principals(pipeline, None, {})[acl.role]]
        ],
        needed=acls(pipeline, declared),
        groups=[Group(name, "classic", "range", (GroupMember(f"{name}.0", f"{name}.0", "h"),)) for name in groups],
        clocks=[Clock("commands of mara", 12)],
    )


def wanted(pipeline: Pipeline, **more: Any) -> Wanted:
    return Wanted(DAY_MS, principals=principals(pipeline, None, {}), **more)


def bad(diagnosis: Diagnosis) -> list[tuple[str, Finding]]:
    return [
        (name, finding)
        for name, findings in diagnosis.findings.items()
        for finding in findings
        if finding.verdict is not Verdict.OK
    ]


def test_where_all_is_well_every_check_says_so(good: Facts, pipeline: Pipeline) -> None:
    diagnosis = examine(good, wanted(pipeline))
    assert bad(diagnosis) == []
    assert tuple(diagnosis.findings) == NAMES
    assert all(diagnosis.findings.values())
    assert diagnosis.holds()
    assert diagnosis.conclusion == "the guarantee holds"


def test_a_check_that_is_named_is_the_only_one(good: Facts, pipeline: Pipeline) -> None:
    assert list(examine(good, wanted(pipeline), ["clocks", "sizes"]).findings) == ["sizes", "clocks"]


@pytest.mark.parametrize("name", CASES)
def test_what_is_made_wrong_is_named_by_its_check_alone(name: str, good: Facts, pipeline: Pipeline) -> None:
    change, check, verdict, (measured, breaks, mend) = CASES[name]
    diagnosis = examine(change(good), wanted(pipeline))
    found = bad(diagnosis)
    assert {said for said, _ in found} == {check}
    assert {finding.verdict for _, finding in found} == {verdict}
    finding = found[0][1]
    assert measured in finding.measured
    assert breaks in finding.breaks
    assert any(mend in each.mend for _, each in found)
    assert finding.limit
    assert diagnosis.holds() == (verdict is Verdict.WARNING)
    assert diagnosis.holds(allow_unknown=True) == (verdict is not Verdict.BROKEN)


def test_every_check_is_made_wrong_at_least_once() -> None:
    assert {check for _, check, _, _ in CASES.values()} == {check.name for check in CHECKS}


def test_one_broker_does_not_hold_unless_it_is_meant(good: Facts, pipeline: Pipeline) -> None:
    one = {name: replace(topic, replication=1, in_sync=1) for name, topic in good.topics.items()}
    facts = replace(good, topics=one, brokers=good.brokers[:1])
    diagnosis = examine(facts, wanted(pipeline))
    assert [(name, finding.subject) for name, finding in bad(diagnosis)] == [
        ("replication", "a single broker"),
        ("min-insync", "a single broker"),
    ]
    assert not diagnosis.holds()
    meant = examine(facts, wanted(pipeline, local=True))
    assert {finding.verdict for _, finding in bad(meant)} == {Verdict.LOCAL}
    assert meant.holds()
    assert "single broker" in meant.conclusion
    short = with_topic(facts, "control", {"retention.ms": "60000"})
    assert not examine(short, wanted(pipeline, local=True)).holds(), "a single broker excuses nothing else"
    assert not examine(with_topic(good, "input", replication=1), wanted(pipeline, local=True)).holds(), (
        "there are three"
    )


def test_predictions_are_kept_for_the_label_horizon(good: Facts, pipeline: Pipeline) -> None:
    [first, second] = bad(examine(good, wanted(pipeline, horizon_ms=7 * DAY_MS)))
    assert (first[0], first[1].subject, second[1].subject) == (
        "retention",
        "fraud.predictions.blue",
        "fraud.predictions.green",
    )
    assert "label horizon" in first[1].limit
    assert bad(examine(good, wanted(pipeline, horizon_ms=3 * DAY_MS))) == []


def test_labels_are_kept_for_their_horizon_where_a_pipeline_has_them(good: Facts, tmp_path: Path) -> None:
    labelled = loaded(tmp_path, deciding())
    declared = load_topics(labelled)
    topic = Topic("outcomes", 2, 3, 3, SETTINGS["labels"])
    facts = replace(good, declared=declared, topics={**good.topics, "outcomes": topic})
    assert good.topic("labels") is None
    found = [
        finding.subject for _, finding in bad(examine(facts, wanted(labelled, horizon_ms=4 * DAY_MS), ["retention"]))
    ]
    assert found == ["fraud.predictions.blue", "fraud.predictions.green", "outcomes"]
    assert bad(examine(facts, wanted(labelled, horizon_ms=3 * DAY_MS), ["retention"])) == []


def test_what_waits_for_labels_has_room_at_a_rate_that_was_measured_or_is_expected(
    good: Facts, pipeline: Pipeline
) -> None:
    """docs/operations.md, "Memory for labels": 2,000 events/s and a horizon of an hour need 0.84 GB."""
    facts = replace(good, redis=Redis(900 << 20, "noeviction"), waiting=HOUR, rate=2_000.0)
    assert HOUR.needs(2_000) == 836_400_000

    def said(about: Facts, rate: float | None = None) -> Finding:
        [finding] = examine(about, wanted(pipeline, rate=rate), ["redis"]).findings["redis"]
        return finding

    assert said(facts).verdict is Verdict.OK
    assert "2,000 events/s (measured)" in said(facts).measured
    assert said(facts, 4_000).verdict is Verdict.WARNING
    assert "4,000 events/s (expected)" in said(facts, 4_000).measured
    sampled = replace(facts, waiting=replace(HOUR, sample=0.1, packed=False))
    assert said(sampled, 4_000).verdict is Verdict.OK
    assert "x a sample of 10.00% are at least 160 MB" in said(sampled, 4_000).measured
    assert said(replace(facts, rate=None)).verdict is Verdict.OK
    assert "--rate" in said(replace(facts, rate=None)).measured
    unlimited = replace(facts, redis=Redis(0, "noeviction"))
    assert said(unlimited, 1e6).verdict is Verdict.OK, "nobody knows how much there is"


def test_the_arithmetic_of_a_pipelines_own_rows(tmp_path: Path) -> None:
    assert waiting(loaded(tmp_path, small())) is None
    plain = deciding().replace("horizon: 60s", "horizon: 1h, sample: 12.5%")
    plain = plain.replace("segments: {machine: [m1, m2], tier: [1, 2]}", "segments: {machine: [m1]}")
    plain = plain.replace("segments: [machine, tier]", "segments: [machine]").replace(
        "range: [0, 50]", "range: [0, 50], labels: false"
    )
    found = waiting(loaded(tmp_path, plain))
    assert found == Waiting(82, 5_100_000, 0.125, True)
    own = waiting(loaded(tmp_path, deciding()))
    assert own is not None
    assert (own.packed, own.row_bytes) == (False, 83)


def test_kafkas_own_topics_are_looked_at_and_what_will_be_made_of_them(good: Facts, pipeline: Pipeline) -> None:
    weak = replace(good, topics={**good.topics, TRANSACTIONS: replace(good.topics[TRANSACTIONS], replication=1)})
    assert [finding.subject for _, finding in bad(examine(weak, wanted(pipeline)))] == [TRANSACTIONS]
    gone = replace(good, topics={n: topic for n, topic in good.topics.items() if n not in (TRANSACTIONS, OFFSETS)})
    assert bad(examine(gone, wanted(pipeline))) == []
    to_come = with_broker(gone, transaction_state_log_min_isr="1", offsets_topic_replication_factor="1")
    assert [name for name, _ in bad(examine(to_come, wanted(pipeline)))] == ["transactions", "positions"]


def test_what_topics_apply_mends_is_mended_by_it(good: Facts, pipeline: Pipeline) -> None:
    short = with_topic(good, "control", {"retention.ms": "60000"})
    planned = replace(short, planned={"fraud.control": {"retention.ms": "-1"}})
    [(_, finding)] = bad(examine(planned, wanted(pipeline)))
    assert finding.mend == "streambg topics apply"
    elsewhere = replace(short, planned={"fraud.control": {"retention.ms": "90000"}}, secured=True)
    [(_, finding)] = bad(examine(elsewhere, wanted(pipeline)))
    assert finding.mend == (
        "kafka-configs.sh --bootstrap-server broker:9092 --command-config admin.properties --alter "
        "--entity-type topics --entity-name fraud.control --add-config retention.ms=-1"
    )


def test_a_question_without_an_answer_is_unknown_and_never_well(good: Facts, pipeline: Pipeline) -> None:
    facts = replace(good, unasked={"brokers": "Cluster authorization failed"})
    diagnosis = examine(facts, wanted(pipeline))
    asks = {check.name for check in CHECKS if "brokers" in check.asks}
    assert len(asks) >= 5
    assert {(name, finding.verdict) for name, finding in bad(diagnosis)} == {(name, Verdict.UNKNOWN) for name in asks}
    assert not diagnosis.holds()
    assert diagnosis.holds(allow_unknown=True)
    nobody = replace(good, acls=[])
    assert [name for name, _ in bad(examine(nobody, wanted(pipeline)))] == ["writers", "rights"]


def test_only_what_the_named_checks_need_is_asked() -> None:
    assert questions(["sizes"]) == {"topics"}
    assert questions(["writers"]) == {"acls", "brokers"}
    assert questions(NAMES) == set(get_args(Question))


def test_another_login_of_a_role_is_named(good: Facts, pipeline: Pipeline) -> None:
    renamed = [
        replace(each, principal="User:svc") if each.principal == "User:fraud-publisher" else each
        for each in good.acls or ()
    ]
    facts = replace(good, acls=renamed)
    assert {name for name, _ in bad(examine(facts, wanted(pipeline)))} == {"writers", "rights"}
    named = replace(wanted(pipeline), principals=principals(pipeline, None, {"publisher": "svc"}))
    assert bad(examine(facts, named)) == []


def test_json_has_the_conclusion_and_every_finding(good: Facts, pipeline: Pipeline) -> None:
    diagnosis = examine(with_topic(good, "control", {"retention.ms": "60000"}), wanted(pipeline))
    shown = as_json("fraud", "broker:9092", diagnosis, diagnosis.holds())
    assert (shown["ok"], shown["counts"]["broken"]) == (False, 1)
    assert shown["conclusion"].startswith("the guarantee does not hold: 1 broken")
    [finding] = [each for each in shown["findings"] if each["verdict"] == "broken"]
    assert finding["check"] == "control-log"
    assert finding["about"] == "Every command ever accepted is still there."
    assert {"subject", "measured", "limit", "breaks", "mend"} < finding.keys()
