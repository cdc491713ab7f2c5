"""What has expired is `not auditable`, never `ok` and never wrong (P35)."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from corruptions import change, drop, said, wrong_value
from recorded import COMMANDS, RULES, TOPIC, Recording, standard

from streambg.audit import audit_records
from streambg.audit.report import Range, Report, not_auditable
from streambg.audit.sources import Role
from streambg.audit.tally import Check, Kind
from streambg.errors import Gap
from streambg.records import batch as batches
from streambg.records.cutover import decode_cutover, encode_cutover
from streambg.records.outcome import parse_header


def of(report: Report, check: Check, partition: int = 0) -> Range:
    return next(item for item in report.partitions[partition].ranges if item.check is check)


def shown(report: Report, check: Check, partition: int = 0) -> str:
    return not_auditable(report.partitions[partition], of(report, check, partition))


def nothing_wrong(report: Report) -> bool:
    return sum(report.counts.values()) == 0


def expire(recording: Recording, role: Role, share: float, partition: int = 0) -> int:
    """Raise the log start; the first log offset that is left."""
    log = recording.log(role, partition)
    first = log[int(share * len(log))].offset if share < 1 else log[-1].offset + 1
    recording.starts[role, partition] = first
    return first


def test_P35_an_expired_input_leaves_presence_open_below_and_judges_the_answers_there() -> None:
    recording = standard()
    first = expire(recording, "input", 0.5)
    report = audit_records(recording)
    assert report.ok
    assert of(report, Check.PRESENCE).first == first
    assert shown(report, Check.PRESENCE) == f"0..{first - 1}"
    assert of(report, Check.ANSWER).first == 0
    assert 0 < report.gone < report.outcomes
    assert report.events == report.outcomes - report.gone


def test_P35_below_an_expired_input_a_wrong_value_is_still_named_and_a_loss_is_not_guessed() -> None:
    recording = standard()
    expire(recording, "input", 0.5)
    drop(5)(recording)
    change(recording, 6, value=b"something else")
    report = audit_records(recording)
    assert {kind: number for kind, number in report.counts.items() if number} == {Kind.WRONG_VALUE: 1}
    drop(120)(recording)
    assert audit_records(recording).counts[Kind.LOST] == 1


def test_P35_expired_outcomes_are_not_called_lost() -> None:
    recording = standard()
    expire(recording, "output", 0.5)
    report = audit_records(recording)
    log = recording.log("output")
    first = said(next(record for record in log if record.offset >= recording.starts["output", 0]))[0]
    assert report.ok
    assert of(report, Check.PRESENCE).first == of(report, Check.ORDER).first == first
    assert of(report, Check.PRESENCE).not_auditable > 50
    drop(len(log) - 10)(recording)
    assert audit_records(recording).counts[Kind.LOST] == 1


def test_P35_all_outcomes_expired() -> None:
    recording = standard(partitions=1)
    expire(recording, "output", 1.0)
    report = audit_records(recording)
    assert (report.verdict, report.ok) == ("nothing to audit", False)
    assert of(report, Check.PRESENCE).first is None
    assert "expired" in report.reason


def test_P35_expired_predictions_leave_the_answers_open_below() -> None:
    recording = standard()
    expire(recording, "blue", 0.3)
    assert audit_records(recording).ok
    first = of(audit_records(recording), Check.ANSWER).first
    assert first is not None
    assert 20 < first < 150
    below = next(at for at, record in enumerate(recording.log("output")) if said(record)[0] < first - 10)
    change(recording, below, value=b"something else")
    assert audit_records(recording).ok  # it is not auditable, and the report says so
    wrong_value(recording)
    assert audit_records(recording).counts[Kind.WRONG_VALUE] == 1


def test_P35_a_deployment_younger_than_the_oldest_prediction_left_is_auditable_from_its_first() -> None:
    recording = standard()
    log = recording.log("blue")
    younger = next(at for at, record in enumerate(log) if batches.decode_head(record.value or b"").deployment > 0)
    deployed_at = recording.log("control")[9].time  # fraud:3
    older = max(at for at, record in enumerate(log) if record.time < deployed_at)
    recording.starts["blue", 0] = log[older].offset
    report = audit_records(recording)
    assert report.ok
    seed = batches.decode_head(log[younger].value or b"").after + 1
    assert (of(report, Check.ANSWER).first or 0) <= seed
    # without any older record nobody can say that this batch is the deployment's first
    recording.starts["blue", 0] = log[younger].offset
    assert (of(audit_records(recording), Check.ANSWER).first or 0) > seed


def test_P35_an_event_whose_dead_letter_may_have_expired_is_not_called_lost() -> None:
    recording = standard()
    assert len(recording.log("dead-letters")) > 0
    expire(recording, "dead-letters", 1.0)
    report = audit_records(recording)
    assert report.ok
    assert of(report, Check.PRESENCE).not_auditable == len(recording.log("dead-letters"))
    drop(40)(recording)
    assert audit_records(recording).counts[Kind.LOST] == 1  # this one could be published


def test_P35_outcomes_of_compacted_events_are_not_extra() -> None:
    recording = standard()
    del recording.log("input")[10:60]
    assert audit_records(recording).counts[Kind.EXTRA] > 20
    recording.compacted = frozenset({"input"})
    report = audit_records(recording)
    assert report.ok
    assert report.gone > 20


def test_P35_a_compacted_output_leaves_presence_open() -> None:
    recording = standard(partitions=1)
    del recording.log("output")[10:60]
    recording.compacted = frozenset({"output"})
    report = audit_records(recording)
    assert (report.verdict, nothing_wrong(report)) == ("nothing to audit", True)
    assert of(report, Check.ORDER).first == 0


def test_P35_late_cannot_be_judged_from_copied_timestamps() -> None:
    recording = standard(mischief="late", errors=0.0, silent=0.0, rules={**RULES, "late_live_ms": 2_000})
    assert audit_records(recording).counts[Kind.UNJUSTIFIED] > 0
    recording.output_times_copied = True
    report = audit_records(recording)
    assert nothing_wrong(report)
    assert sum(of(report, Check.LATE, partition).not_auditable for partition in range(3)) > 50


def test_P5_late_needs_predictions_that_the_broker_dated() -> None:
    recording = standard(mischief="late", errors=0.0, silent=0.0, rules={**RULES, "late_live_ms": 2_000})
    recording.log_append = False
    report = audit_records(recording)
    assert nothing_wrong(report)
    assert of(report, Check.LATE).not_auditable > 0


def test_P25_without_a_committed_position_it_judges_up_to_the_last_outcome_and_says_so() -> None:
    recording = standard(errors=0.0)
    recording.positions.clear()
    drop(-10, 10)(recording)
    report = audit_records(recording)
    assert report.ok
    assert all(partition.unanchored for partition in report.partitions)
    assert "not auditable" in report.reason


def test_P35_what_lies_beyond_settled_is_not_judged_yet() -> None:
    recording = standard()
    log = recording.log("output")
    recording.positions[0] = said(log[100])[0]
    change(recording, 120, value=b"something else")
    drop(130)(recording)
    report = audit_records(recording)
    assert report.ok
    assert report.unsettled >= len(log) - 101
    assert of(report, Check.PRESENCE).last == recording.positions[0]


def test_P35_nothing_settled_is_never_ok() -> None:
    recording = standard()
    recording.positions = dict.fromkeys(range(3), -1)
    report = audit_records(recording)
    assert (report.verdict, report.reason) == ("nothing to audit", "no event is settled yet")


def test_P25_an_input_topic_that_was_made_again_is_not_judged_by_the_old_one() -> None:
    recording = standard()
    recording.input_topic_id = "another"
    recording.logs = {at: log for at, log in recording.logs.items() if at[0] != "input"}
    report = audit_records(recording)
    assert (report.verdict, nothing_wrong(report)) == ("nothing to audit", True)
    assert "made again" in report.reason
    assert report.earlier > 100


def test_P25_outcomes_of_an_earlier_topic_of_that_name_are_left_out() -> None:
    recording = standard()
    log = recording.log("cutovers")
    old = decode_cutover(log[0].value or b"")
    # the earlier topic's life: one cutover of an epoch below, one outcome of it
    recording.logs["cutovers", 0] = [
        replace(log[0], offset=0, value=encode_cutover(msgspec.structs.replace(old, epoch=-1, topic_id="earlier"))),
        *(replace(record, offset=record.offset + 1) for record in log),
    ]
    output = recording.log("output")
    stale = replace(output[0], header=(output[0].header or b"").replace(b"epoch=0", b"epoch=-1"))
    output.insert(0, stale)
    recording.renumber("output")
    report = audit_records(recording)
    assert (report.ok, report.earlier) == (True, 1)


def test_P15_superseding_records_are_counted_apart() -> None:
    recording = standard()
    log = recording.log("output")
    again = replace(log[30], header=(log[30].header or b"").rsplit(b" ", 1)[0] + b" supersedes", value=b"corrected")
    log.append(again)
    recording.renumber("output")
    report = audit_records(recording)
    assert (report.supersedes, report.outcomes) == (1, audit_records(standard()).outcomes)
    assert {kind: number for kind, number in report.counts.items() if number} == {Kind.UNCOMMANDED: 1}, "nobody asked"


def test_records_from_before_the_pipeline_are_not_foreign() -> None:
    recording = standard()
    recording.log("output").insert(0, replace(recording.log("output")[0], header=None))
    recording.renumber("output")
    report = audit_records(recording)
    assert (report.ok, report.earlier) == (True, 1)


def test_P27_what_lies_before_the_origin_is_not_owed() -> None:
    recording = standard(origin=30)
    report = audit_records(recording)
    assert report.ok
    assert report.partitions[0].origin == 30
    log = recording.log("output")
    header = (log[0].header or b"").replace(b"@%d " % parse_header(log[0].header or b"").source.offset, b"@3 ")
    log.insert(0, replace(log[0], header=header))
    recording.renumber("output")
    assert audit_records(recording).counts[Kind.EXTRA] == 1


def test_a_control_log_without_its_beginning_stops_the_audit() -> None:
    recording = standard()
    recording.starts["control", 0] = 1
    with pytest.raises(Gap, match="begins at offset 1"):
        audit_records(recording)


def test_P35_the_report_says_the_delay_from_command_to_cutover() -> None:
    report = audit_records(standard())
    cutovers = sum(1 for record in standard().log("cutovers") if decode_cutover(record.value or b"").origin is None)
    assert report.cutover_delay.cutovers == cutovers > 0
    assert report.cutover_delay.p50_ms is not None
    assert report.cutover_delay.max_ms is not None
    assert 0 < report.cutover_delay.p50_ms <= report.cutover_delay.max_ms


def test_the_json_report_names_ranges_and_findings() -> None:
    recording = standard()
    wrong_value(recording)
    data = msgspec.json.decode(audit_records(recording).to_json())
    assert data["verdict"] == "failed"
    assert data["counts"]["wrong_value"] == 1
    assert data["partitions"][0]["ranges"][0].keys() == {"check", "first", "last", "not_auditable"}
    assert data["findings"][0]["source"].startswith(f"{TOPIC}/0@")


# -- P25: an output that had another life before ----------------------------------------------------------------------


def adopted(**said: int) -> Recording:
    """The standard recording, whose first deploy says where the output's partitions ended."""
    (at, verb, args), *others = COMMANDS
    output = {"0": 0, "1": 0, "2": 0} | {partition[1:]: end for partition, end in said.items()}
    return standard(commands=((at, verb, {**args, "output": output}), *others))


def of_an_old_service(recording: Recording, number: int) -> None:
    """`number` records before all others: one of an earlier pipeline on the same input, then foreign ones."""
    log = recording.log("output")
    log[:0] = [log[50]] + [replace(log[50], header=None)] * (number - 1)
    recording.renumber("output")


def test_P25_what_stands_before_the_first_deploys_word_is_from_before() -> None:
    recording = adopted(p0=45)
    of_an_old_service(recording, 45)
    report = audit_records(recording)
    assert (report.ok, report.earlier) == (True, 45), report.findings
    assert report.outcomes == standard().expected["events"]


def test_P25_a_foreign_record_behind_that_word_fails_even_before_the_first_outcome() -> None:
    recording = adopted(p0=44)
    of_an_old_service(recording, 46)
    report = audit_records(recording)
    assert (report.verdict, report.earlier) == ("failed", 44)
    assert {kind: number for kind, number in report.counts.items() if number} == {Kind.FOREIGN: 2}


def test_P35_expired_records_of_the_old_service_hide_nothing_of_ours() -> None:
    recording = adopted(p0=45)
    of_an_old_service(recording, 45)
    del recording.log("output")[45]
    recording.starts["output", 0] = 40
    assert audit_records(recording).counts[Kind.LOST] == 1, "all of our outcomes must be there"
    recording.starts["output", 0] = 46
    assert audit_records(recording).counts[Kind.LOST] == 0, "the first ones may have expired"
