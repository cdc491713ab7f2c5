"""pipeline.yaml: what it means, and what is said when it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from pipeline_files import loaded, small, write
from pydantic import ValidationError

from streambg.config import Pipeline, load
from streambg.errors import ConfigError

REFERENCE = Path(__file__).parents[2] / "pipeline.yaml"


def refused(directory: Path, text: str, env: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(directory, text, env)
    return str(caught.value)


def test_the_reference_pipeline_is_right() -> None:
    pipeline = load(REFERENCE, {})
    assert pipeline.name == "shuttle"
    assert pipeline.kafka.bootstrap == "127.0.0.1:9092"
    assert list(pipeline.model.features) == [f"f{n}" for n in range(1, 10)]
    assert (pipeline.publish.late.live_ms, pipeline.publish.late.candidate_ms) == (None, 2_000)
    assert pipeline.publish.transaction.every_ms == 50
    assert pipeline.rollout.max_lag_ms == 5_000
    assert pipeline.file == REFERENCE
    assert pipeline.registry == REFERENCE.parent / "models"


def test_defaults_are_those_of_the_contract(tmp_path: Path) -> None:
    pipeline = loaded(tmp_path, small())
    assert (pipeline.publish.late.live_ms, pipeline.publish.late.candidate_ms) == (None, 2_000)
    assert pipeline.publish.live_failed == "dead-letter"
    assert (pipeline.publish.transaction.every_ms, pipeline.publish.transaction.records) == (50, 20_000)
    assert pipeline.publish.slots == 2
    assert pipeline.input.bucket_field is None
    assert pipeline.input.forward_headers == ("traceparent",)
    assert pipeline.output.timestamp == "now"
    assert pipeline.registry == tmp_path / "models"


def test_names_on_the_servers_come_from_the_pipelines_name(tmp_path: Path) -> None:
    pipeline = loaded(tmp_path, small("fraud"))
    topics, groups = pipeline.topics, pipeline.groups
    assert (topics.input, topics.output) == ("fraud-events", "fraud-alerts")
    assert topics.ours == (
        "fraud.predictions.blue",
        "fraud.predictions.green",
        "fraud.control",
        "fraud.cutovers",
        "fraud.evidence",
        "fraud.verdicts",
        "fraud.dead-letters",
    )
    assert groups.scorer("green") == "streambg.fraud.scorer.green"
    assert (groups.publisher, groups.comparator) == ("streambg.fraud.publisher", "streambg.fraud.comparator")
    assert pipeline.transactional_ids == ("streambg.fraud.publisher.0", "streambg.fraud.publisher.1")


def test_a_pipeline_cannot_be_changed(tmp_path: Path) -> None:
    pipeline = loaded(tmp_path, small())
    with pytest.raises(ValidationError):
        pipeline.publish.slots = 3  # type: ignore[misc] # that it is refused is the point


def test_a_wrong_key_is_named_with_its_line_and_the_nearest_right_one(tmp_path: Path) -> None:
    text = small().replace("  format: json", "  format: json\n  bucketby: key")
    said = refused(tmp_path, text)
    assert f"{tmp_path / 'pipeline.yaml'}:8: input.bucketby: no such key; did you mean `bucket_by`?" in said


def test_a_key_in_the_wrong_section_is_sent_to_the_right_one(tmp_path: Path) -> None:
    assert "pipeline.yaml:13: live_failed: no such key; it belongs to `publish`" in refused(
        tmp_path, small() + "live_failed: candidate\n"
    )


def test_every_problem_is_said_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = small().replace("threshold: 0.5", "threshold: high").replace("format: json", "format: jsn")
    text += "publish:\n  late: {live: wiat, candidate: 2000}\n  slots: true\n"
    lines = [line.split("pipeline.yaml:")[1] for line in refused(tmp_path, text).splitlines()]
    assert [line.split(":")[0] for line in lines] == ["7", "12", "14", "14", "15"]
    assert lines[0] == "7: input.format: 'jsn' should be 'json'; did you mean `json`?"
    assert "write a number and a unit" in lines[2]


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("pipeline: fraud", "pipeline: my fraud", "pipeline: 'my fraud' should match"),
        ("pipeline: fraud\n", "", "pipeline.yaml:1: pipeline: is missing"),
        ("  topic: fraud-events\n", "", "pipeline.yaml:5: input.topic: is missing"),
        ("127.0.0.1:9092", "127.0.0.1", "'127.0.0.1' is no address; write host:port"),
        ("redis://127.0.0.1:6379/0", "127.0.0.1", "redis: is no Redis address"),
        ("{topic: fraud-alerts}", "{topic: fraud-events}", "`fraud-events` is the input too"),
        ("{topic: fraud-alerts}", "{topic: fraud.control}", "one of streambg's own topics"),
        ("format: json", "format: json\n  decode: 'a:b'", "both `format` and `decode` are given"),
        ("  format: json\n", "", "neither `format` nor `decode` is given"),
        ("format: json", "decode: nothing", "input.decode: 'nothing' should match"),
        ("format: json", "format: json\n  bucket_by: machine", "neither `key` nor `field:NAME`"),
        ("format: json", "format: json\n  carry: [a, a]", "`a` is named 2 times"),
        ("format: json", "format: json\n  carry: [a, b, c, d, e, f, g, h, i]", "9 fields, the limit is 8"),
        ("format: json", "format: json\n  forward_headers: [streambg]", "the header that streambg itself writes"),
        ("output: score", "output: scor", "`scor` is none of the outputs; did you mean `score`?"),
        ("{f1: number}", "{f1: numbr}", "model.features.f1: 'numbr' should be 'number', 'string' or 'boolean'"),
        ("{f1: number}", "{}", "model.features: has 0 entries, at least 1 must be there"),
        ("[score]", "[score, score]", "`score` is named 2 times"),
        ("threshold: 0.5", "threshold: .nan", "threshold: nan should be a finite number"),
        ("threshold: 0.5", "threshold: true", "true is no number"),
        ("format: json", "format:", "input.format: has no value"),
        ("format: json", "format: json\n  decode:", "input.decode: has no value"),
        ("format: json", "format: json\n  format: json", "a key is given twice"),
        ("format: json", "format: 'json", "no YAML"),
        ("format: json", "format: 2026-01-01", "put it in quotes"),
        ("pipeline: fraud", "pipeline: fraud\nreplay: {mask: [f11]}", "so no report shows it; did you mean `f1`?"),
        ("pipeline: fraud", "pipeline: fraud\nreplay: {show: [iban]}", "`iban` is neither a feature nor carried"),
        ("pipeline: fraud", "pipeline: fraud\nreplay: {mask: [f1, f1]}", "`f1` is named 2 times"),
        ("pipeline: fraud", "pipeline: fraud\nreplay: {mask: [f1], show: [f1]}", "`f1` is in `replay.mask`, too"),
        ("pipeline: fraud", "pipeline: fraud\nreplay: {key: hide}", "replay.key: 'hide' should be 'show' or 'mask'"),
        ("pipeline: fraud", "pipeline: fraud\nreplay: {masks: [f1]}", "no such key; did you mean `mask`?"),
        ("pipeline: fraud", "pipeline: fraud\nreplay: {key: true}", "replay.key: true should be 'show' or 'mask'"),
        ("format: json", "format: json\n  carry: event_id", "input.carry: 'event_id' is no list; write [event_id]"),
        ("format: json", "format: json\n  carry: {a: 1}", "input.carry: a mapping of keys is no list"),
        ("pipeline: fraud", "pipeline: fraud\nregistry: [a]", "registry: a list is no path"),
        ("pipeline: fraud", "pipeline: fraud\npublish: 5", "publish: 5 is no mapping; write `key: value`"),
        ("pipeline: fraud", "pipeline: fraud\npublish: {slow_link: 5}", "5 is neither true nor false"),
        ("127.0.0.1:9092", "9092", "kafka.bootstrap: 9092 is no text; put it in quotes"),
        ("threshold: 0.5", "threshold: high", "model.decision.threshold: 'high' is no number"),
    ],
)
def test_bad_values(tmp_path: Path, was: str, becomes: str, said: str) -> None:
    text = small()
    assert was in text
    answer = refused(tmp_path, text.replace(was, becomes, 1))
    assert said in answer
    assert "pipeline.yaml:" in answer


def test_what_a_transaction_and_the_slots_may_hold_is_bounded(tmp_path: Path) -> None:
    for bad, said in (
        ("transaction: {every: 0ms}", "0ms is below the least, 5ms"),
        ("transaction: {every: 2s}", "2s is above 1s"),
        ("transaction: {records: 0}", "0 is below the least, 1"),
        ("slots: 0", "0 is below the least, 1"),
        ("slots: 17", "17 is above 16"),
        ("late: {live: 0ms}", "0ms is below the least, 1ms"),
    ):
        assert refused(tmp_path, small() + f"publish:\n  {bad}\n").endswith(said)


def test_a_misspelt_key_of_the_rollout_is_a_wrong_key(tmp_path: Path) -> None:
    assert "rollout.maxlag: no such key; did you mean `max_lag`?" in refused(
        tmp_path, small() + "rollout: {maxlag: 5s}\n"
    )


def test_an_anchor_and_a_merge_are_plain_yaml(tmp_path: Path) -> None:
    text = small().replace("{output: score, threshold: 0.5}", "\n    <<: {output: score}\n    threshold: 0.25")
    assert loaded(tmp_path, text).model.decision.threshold == 0.25


def test_no_file_no_mapping_too_large_no_utf8(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "nowhere.yaml", {})
    for text, kind in (("- a\n", "a list"), ("a\n", "a single value"), ("# nothing\n", "an empty one")):
        assert f"must be a mapping of sections, not {kind}" in refused(tmp_path, text)
    assert "the limit is 1048576" in refused(tmp_path, "#" * 1_100_000)
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"pipeline: \xe4\n")
    with pytest.raises(ConfigError, match="byte 10 is no UTF-8"):
        load(path, {})


# -- the environment ------------------------------------------------------------------------------------------------


def test_references_are_filled_from_the_environment_or_their_default(tmp_path: Path) -> None:
    text = small(bootstrap="${BOOT:-127.0.0.1:1}").replace("/0", "/${DB}") + "publish: {slots: '${SLOTS:-2}'}\n"
    pipeline = loaded(tmp_path, text, {"DB": "3"})
    assert (pipeline.kafka.bootstrap, pipeline.redis, pipeline.publish.slots) == (
        "127.0.0.1:1",
        "redis://127.0.0.1:6379/3",
        2,
    )
    assert loaded(tmp_path, text, {"DB": "3", "BOOT": "k:2", "SLOTS": "4"}).kafka.bootstrap == "k:2"
    assert loaded(tmp_path, text, {"DB": "3", "BOOT": ""}).kafka.bootstrap == "127.0.0.1:1"


def test_a_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    said = refused(tmp_path, small(bootstrap="${STREAMBG_BOOT}"), {"STREAMBG_BOOTS": "k:2"})
    assert "pipeline.yaml:3: kafka.bootstrap: `${STREAMBG_BOOT}` is not set and has no default" in said
    assert "`STREAMBG_BOOTS` is set" in said


def test_what_is_no_reference_is_not_taken_for_text(tmp_path: Path) -> None:
    assert "is no reference; write ${NAME}" in refused(tmp_path, small(bootstrap="${BOOT-x:1}"))
    assert "put a value with { or } in quotes" in refused(tmp_path, small() + "publish: {slots: ${SLOTS}}\n", {})


def test_values_of_the_environment_are_not_expanded_again(tmp_path: Path) -> None:
    text = small() + "registry: ${REGISTRY}\n"
    assert loaded(tmp_path, text, {"REGISTRY": "/${HOME}"}).registry == Path("/${HOME}")
    assert loaded(tmp_path, small() + "registry: /$${HOME}\n").registry == Path("/${HOME}")


@pytest.mark.parametrize("text", ["41,57", "41 57", " 41, 57 ,"])
def test_P5_control_records_to_pass_come_from_flags_and_the_environment(text: str, tmp_path: Path) -> None:
    """Every verb that folds the control log has them, not only those with a flag."""
    assert load(write(tmp_path, small()), {"STREAMBG_IGNORE_RECORDS": text}, [3]).ignore_records == {3, 41, 57}
    assert loaded(tmp_path, small()).ignore_records == frozenset()


@pytest.mark.parametrize("text", ["41;57", "-1", "last", "4.0", "\u00b2"])
def test_P5_what_is_no_offset_is_not_passed_over(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no offset of the control log") as refused:
        loaded(tmp_path, small(), {"STREAMBG_IGNORE_RECORDS": text})
    assert refused.value.way_out == "offsets with commas between them: STREAMBG_IGNORE_RECORDS=41,57"


# -- what decides ---------------------------------------------------------------------------------------------------


def test_P13_the_bucket_field_is_carried(tmp_path: Path) -> None:
    text = small().replace("format: json", "format: json\n  bucket_by: field:machine\n  carry: [event_id]")
    pipeline = loaded(tmp_path, text)
    assert pipeline.input.bucket_field == "machine"
    assert pipeline.input.carry == ("event_id", "machine")
    assert loaded(tmp_path, text.replace("[event_id]", "[machine]")).input.carry == ("machine",)
    nine = text.replace("[event_id]", "[a, b, c, d, e, f, g, h]")
    assert "9 fields with the `bucket_by` field, the limit is 8" in refused(tmp_path, nine)


def deciding(pipeline: Pipeline) -> tuple[str, str]:
    return pipeline.deciding_text(), pipeline.deciding_digest()


def test_P4_layout_and_order_do_not_change_what_decides(tmp_path: Path) -> None:
    text = small().replace("format: json", "format: json\n  carry: [a, b]")
    other = text.replace("[a, b]", "[b, a]") + "publish:\n  late:\n    live: wait\n    candidate: 2000ms # as it is\n"
    assert deciding(loaded(tmp_path, text)) == deciding(loaded(tmp_path, other))


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("format: json", "decode: 'm:f'"),
        ("format: json", "format: json\n  bucket_by: field:machine"),
        ("format: json", "format: json\n  carry: [a]"),
        ("{f1: number}", "{f1: string}"),
        ("threshold: 0.5", "threshold: 0.6"),
        ("model:", "publish: {late: {candidate: 3s}}\nmodel:"),
        ("model:", "publish: {late: {live: 3s}}\nmodel:"),
        ("model:", "publish: {live_failed: candidate}\nmodel:"),
    ],
)
def test_P4_a_decision_changes_the_digest(tmp_path: Path, was: str, becomes: str) -> None:
    before = deciding(loaded(tmp_path, small()))
    after = deciding(loaded(tmp_path, small().replace(was, becomes, 1)))
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_P4_addresses_and_pace_are_no_decisions(tmp_path: Path) -> None:
    text = small() + "publish: {transaction: {every: 100ms}, slots: 4}\nregistry: /elsewhere\n"
    assert deciding(loaded(tmp_path, small())) == deciding(loaded(tmp_path, text.replace("9092", "9093")))


def test_write_returns_the_path(tmp_path: Path) -> None:
    assert load(write(tmp_path, small()), {}).file == tmp_path / "pipeline.yaml"
