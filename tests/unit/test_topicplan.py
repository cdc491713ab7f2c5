"""The plan: what is created, changed, refused; in which order; and what never happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from hypothesis import given
from hypothesis import strategies as st
from pipeline_files import deciding, loaded, small

from streambg.errors import Denied, Misconfigured
from streambg.kafka.admin import TopicFacts
from streambg.topicplan import Action, Declared, Found, Part, broker, diff, load_topics
from streambg.topicplan.broker import refuse_impossible
from streambg.topicplan.declared import PARTS
from streambg.topicplan.plan import faults

GROWING: list[Part] = ["dead-letters", "output", "predictions.blue", "predictions.green", "input"]


# The parts of a pipeline without labels.
SMALL: tuple[Part, ...] = PARTS[: PARTS.index("labels")]


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> list[Declared]:
    return load_topics(loaded(tmp_path_factory.mktemp("plan"), small()))


def as_planned(actions: Sequence[Action]) -> dict[str, Found]:
    """The broker after these creations."""
    return {a.name: Found(a.name, a.partitions or 0, a.replication, dict(a.config)) for a in actions}


def kinds(actions: Sequence[Action]) -> dict[Part, str]:
    return {action.part: action.kind for action in actions}


def by_part(actions: Sequence[Action], part: Part) -> Action:
    return next(action for action in actions if action.part == part)


def with_partitions(found: Mapping[str, Found], counts: Mapping[str, int]) -> dict[str, Found]:
    return {name: replace(topic, partitions=counts.get(name, topic.partitions)) for name, topic in found.items()}


def complete(declared: list[Declared], partitions: int = 6, brokers: int = 1) -> dict[str, Found]:
    return as_planned(diff(declared, {}, brokers, partitions))


def test_P13_everything_is_created_in_order_with_the_inputs_partitions(declared: list[Declared]) -> None:
    actions = diff(declared, {}, 1, 6)
    assert [action.part for action in actions] == [
        "dead-letters",
        "output",
        "predictions.blue",
        "predictions.green",
        "control",
        "cutovers",
        "evidence",
        "verdicts",
        "input",
    ]
    assert {action.kind for action in actions} == {"create"}
    alone: list[Part] = ["control", "cutovers", "evidence", "verdicts"]
    assert {action.part: action.partitions for action in actions} == {part: 1 if part in alone else 6 for part in SMALL}


def test_what_exists_as_declared_is_unchanged(declared: list[Declared]) -> None:
    assert set(kinds(diff(declared, complete(declared), 1)).values()) == {"unchanged"}


def test_the_topic_of_labels_is_the_users_and_has_any_partitions(tmp_path: Path) -> None:
    with_labels = load_topics(loaded(tmp_path, deciding()))
    assert [each.part for each in with_labels] == list(PARTS)
    labels = by_part(diff(with_labels, {}, 1, 6), "labels")
    assert (labels.kind, labels.name, labels.partitions) == ("create", "outcomes", 6)
    there = complete(with_labels)
    for count in (1, 6, 50):
        found = with_partitions(there, {"outcomes": count})
        assert by_part(diff(with_labels, found, 1), "labels").kind == "unchanged"
        assert faults(with_labels, {each.part: found[each.name].partitions for each in with_labels}) == []


def test_settings_of_our_topics(declared: list[Declared]) -> None:
    actions = diff(declared, {}, 3, 6)
    config = {part: by_part(actions, part).config for part in SMALL}
    ours: list[Part] = [part for part in SMALL if part not in ("input", "output")]
    for part in ours:
        # P5, P34: the broker's clock, not the writer's
        assert config[part]["message.timestamp.type"] == "LogAppendTime"
    for part in (*ours, "output"):
        # P13: as large as an input record may be, and 64 KiB for the envelope
        assert config[part]["max.message.bytes"] == str(1_048_588 + 65_536)
    assert config["control"]["cleanup.policy"] == "delete"
    assert config["control"]["retention.ms"] == config["control"]["retention.bytes"] == "-1"
    assert config["cutovers"]["cleanup.policy"] == config["evidence"]["cleanup.policy"] == "compact"
    assert config["predictions.blue"] == config["predictions.green"]
    assert config["predictions.blue"]["retention.ms"] == str(3 * 86_400_000)
    assert config["dead-letters"]["retention.ms"] == config["input"]["retention.ms"] == str(7 * 86_400_000)


@pytest.mark.parametrize(("brokers", "replication", "in_sync"), [(1, 1, "1"), (2, 2, "1"), (3, 3, "2"), (9, 3, "2")])
def test_replication_follows_the_cluster(
    declared: list[Declared], brokers: int, replication: int, in_sync: str
) -> None:
    for action in diff(declared, {}, brokers, 6):
        assert action.replication == replication
        assert action.config["min.insync.replicas"] == in_sync


def test_what_follows_the_input_follows_the_one_that_exists(declared: list[Declared]) -> None:
    there = Found("fraud-events", 12, 1, {"max.message.bytes": "5000000", "retention.ms": "3600000"})
    actions = diff(declared, {there.name: there}, 1)
    letters = by_part(actions, "dead-letters")
    assert by_part(actions, "input").kind == "unchanged"
    assert (letters.partitions, letters.config["retention.ms"]) == (12, "3600000")
    assert letters.config["max.message.bytes"] == str(5_000_000 + 65_536)
    compacted = replace(there, config={**there.config, "cleanup.policy": "compact"})
    assert by_part(diff(declared, {there.name: compacted}, 1), "dead-letters").config["retention.ms"] == "-1"


def test_without_an_input_somebody_must_say_how_many(declared: list[Declared]) -> None:
    actions = diff(declared, {}, 1)
    assert by_part(actions, "input").kind == "impossible"
    assert "`--partitions N`" in by_part(actions, "input").says[0]
    with pytest.raises(Misconfigured, match="nobody said how many partitions") as applied:
        refuse_impossible(actions)
    assert applied.value.way_out == "nothing was changed; streambg topics apply --partitions N"
    with pytest.raises(Misconfigured) as planned:
        refuse_impossible(actions, "plan")
    assert planned.value.way_out == "streambg topics plan --partitions N", "a plan changes nothing, and applied nothing"


# -- partitions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fraud.predictions.green", "fraud-alerts", "fraud.dead-letters"])
def test_more_partitions_than_the_input_is_refused_with_both_numbers(declared: list[Declared], name: str) -> None:
    found = with_partitions(complete(declared), {name: 8})
    with pytest.raises(Misconfigured, match=rf"`{name}` has 8 partitions, the input `fraud-events` 6: they must be"):
        refuse_impossible(diff(declared, found, 1))


def test_a_control_log_in_two_parts_has_no_order(declared: list[Declared]) -> None:
    actions = diff(declared, with_partitions(complete(declared), {"fraud.control": 2}), 1)
    assert by_part(actions, "control").says == ("`fraud.control` has 2 partitions and must have 1: its order decides",)


def test_P13_partitions_are_added_in_order_and_to_the_input_last(declared: list[Declared]) -> None:
    actions = [action for action in diff(declared, complete(declared, 4), 1, 6) if action.kind != "unchanged"]
    assert [action.part for action in actions] == GROWING
    assert {(action.kind, action.partitions, tuple(action.config)) for action in actions} == {("change", 6, ())}
    assert actions[-1].says == ("partitions 4 -> 6 (its keys then move to other partitions)",)


def test_ours_follow_an_input_that_grew(declared: list[Declared]) -> None:
    found = with_partitions(complete(declared, 4), {"fraud-events": 6, "fraud-alerts": 6})
    grown = {action.part: action.partitions for action in diff(declared, found, 1) if action.kind == "change"}
    assert grown == {"dead-letters": 6, "predictions.blue": 6, "predictions.green": 6}


def test_your_output_grows_only_when_you_say_so(declared: list[Declared]) -> None:
    found = with_partitions(complete(declared, 6), {"fraud-alerts": 4})
    refused = by_part(diff(declared, found, 1), "output")
    assert refused.kind == "impossible"
    assert "`fraud-alerts` has 4 partitions, the input `fraud-events` 6" in refused.says[0]
    assert by_part(diff(declared, found, 1, 6), "output").partitions == 6


def test_a_growth_that_stopped_half_way_goes_on(declared: list[Declared]) -> None:
    half = with_partitions(complete(declared, 4), {"fraud.dead-letters": 6, "fraud-alerts": 6})
    actions = [action for action in diff(declared, half, 1, 6) if action.kind != "unchanged"]
    assert [action.part for action in actions] == GROWING[2:]


def test_no_topic_shrinks(declared: list[Declared]) -> None:
    with pytest.raises(Misconfigured, match="has 6 partitions, 4 are asked for: no topic ever shrinks") as caught:
        refuse_impossible(diff(declared, complete(declared, 6), 1, 4), "plan")
    assert caught.value.way_out == "correct this first, then streambg topics plan again"


counts = st.integers(1, 9)


@given(found=st.dictionaries(st.sampled_from(SMALL), counts), asked=st.none() | counts, brokers=st.integers(1, 4))
def test_no_plan_shrinks_anything_and_a_possible_one_makes_counts_equal(
    declared: list[Declared], found: dict[Part, int], asked: int | None, brokers: int
) -> None:
    names = {each.part: each.name for each in declared}
    there = {names[part]: Found(names[part], count, 1, {}) for part, count in found.items()}
    actions = diff(declared, there, brokers, asked)
    after = dict(found)
    for action in actions:
        if action.partitions is not None:
            assert action.partitions > found.get(action.part, 0)
            after[action.part] = action.partitions
    if all(action.kind != "impossible" for action in actions):
        assert set(after) == set(SMALL)
        assert len({after[part] for part in GROWING}) == 1
        assert faults(declared, after) == []


# -- settings -------------------------------------------------------------------------------------------------------


def test_a_setting_that_differs_is_changed(declared: list[Declared]) -> None:
    found = complete(declared)
    control = found["fraud.control"]
    found["fraud.control"] = replace(control, config={**control.config, "message.timestamp.type": "CreateTime"})
    action = by_part(diff(declared, found, 1), "control")
    assert (action.kind, action.config) == ("change", {"message.timestamp.type": "LogAppendTime"})
    assert action.says == ("message.timestamp.type CreateTime -> LogAppendTime",)


@pytest.mark.parametrize(
    ("has", "kind"),
    [("60000", "change"), ("259200000", "unchanged"), ("999999999999", "unchanged"), ("-1", "unchanged")],
)
def test_retention_grows_and_never_shrinks(declared: list[Declared], has: str, kind: str) -> None:
    found = complete(declared)
    name = "fraud.predictions.blue"
    found[name] = replace(found[name], config={**found[name].config, "retention.ms": has})
    action = by_part(diff(declared, found, 1), "predictions.blue")
    assert action.kind == kind
    assert bool(action.notes) == (kind == "unchanged" and has != "259200000")


def test_settings_of_your_topics_are_only_remarked_on(declared: list[Declared]) -> None:
    found = complete(declared)
    found["fraud-alerts"] = replace(found["fraud-alerts"], config={"max.message.bytes": "1000"})
    action = by_part(diff(declared, found, 1), "output")
    assert (action.kind, action.config) == ("unchanged", {})
    assert "max.message.bytes is 1000, declared 1114124; the topic is yours, so it stays" in action.notes


def test_too_few_replicas_are_remarked_on(declared: list[Declared]) -> None:
    action = by_part(diff(declared, complete(declared), 3), "control")
    assert action.kind == "unchanged"
    assert "replication 1, declared 3" in action.notes[0]


# -- may a process start? -------------------------------------------------------------------------------------------


def test_equal_counts_have_no_faults(declared: list[Declared]) -> None:
    assert faults(declared, {each.part: 6 if each.partitions != 1 else 1 for each in declared}) == []


@pytest.mark.parametrize(
    ("part", "both"),
    [
        ("predictions.blue", "`fraud.predictions.blue` has 4 partitions, `fraud-events` has 6"),
        ("predictions.green", "`fraud.predictions.blue` has 6 partitions, `fraud.predictions.green` has 4"),
        ("output", "`fraud-alerts` has 4 partitions, `fraud.predictions.blue` has 6"),
        ("dead-letters", "`fraud.dead-letters` has 4 partitions, `fraud-alerts` has 6"),
    ],
)
def test_unequal_counts_are_said_with_both_numbers(declared: list[Declared], part: Part, both: str) -> None:
    found: dict[Part, int] = {**dict.fromkeys(GROWING, 6), part: 4}
    assert any(both in fault for fault in faults(declared, found))


def test_P13_a_process_may_start_at_any_moment_of_a_growth(declared: list[Declared]) -> None:
    """But for the instant between blue and green, whose partitions must be co-assigned."""
    found: dict[Part, int] = dict.fromkeys(GROWING, 4)
    for part in GROWING:
        found[part] = 6
        assert bool(faults(declared, found)) == (part == "predictions.blue")


def test_P13_a_process_with_more_input_than_places_for_outcomes_does_not_start(declared: list[Declared]) -> None:
    """Whoever sees the input and the output only, too: an event of a new partition must find its place."""
    assert faults(declared, {"input": 6, "output": 6}) == []
    (fault,) = faults(declared, {"input": 6, "output": 4})
    assert "`fraud-alerts` has 4 partitions, `fraud-events` has 6: they must be equal" in fault


def test_a_role_that_sees_few_topics_judges_those(declared: list[Declared]) -> None:
    assert faults(declared, {"predictions.blue": 6, "predictions.green": 6, "control": 1}) == []
    assert faults(declared, {"control": 2}) != []


def test_more_replicas_than_brokers_are_refused_with_both_numbers(declared: list[Declared]) -> None:
    three = [each.model_copy(update={"replication": 3}) if each.part == "control" else each for each in declared]
    with pytest.raises(Misconfigured, match=r"`fraud\.control` declares replication 3, the cluster has 2 brokers"):
        refuse_impossible(diff(three, {}, 2, 6))
    assert {action.kind for action in diff(three, {}, 3, 6)} == {"create"}


def test_what_several_topics_wait_for_is_said_once(declared: list[Declared]) -> None:
    with pytest.raises(Misconfigured) as caught:
        refuse_impossible(diff(declared, {}, 1))
    assert len(caught.value.what.splitlines()) == 2


@pytest.mark.parametrize(
    ("code", "kinds"), [(KafkaError.UNKNOWN_TOPIC_OR_PART, None), (KafkaError.TOPIC_AUTHORIZATION_FAILED, Denied)]
)
def test_a_broker_may_not_know_yet_what_another_one_described(
    monkeypatch: pytest.MonkeyPatch, code: int, kinds: type[Exception] | None
) -> None:
    """On a cluster the question for a topic's settings may go to another broker than the one that showed it."""
    monkeypatch.setattr(broker, "describe", lambda _admin, names: {n: TopicFacts(n, "id", 1, 3, 3) for n in names})

    def ask(resources: Sequence[Any], **_: object) -> dict[Any, Future[Any]]:
        first, second = resources
        unknown: Future[Any] = Future()
        known: Future[Any] = Future()
        unknown.set_exception(KafkaException(KafkaError(code)))
        known.set_result({"retention.ms": SimpleNamespace(value="-1")})
        return {first: unknown, second: known}

    admin: Any = SimpleNamespace(describe_configs=ask)
    if kinds is not None:
        with pytest.raises(kinds):
            broker.read(admin, ["new", "old"])
        return
    assert broker.read(admin, ["new", "old"]) == {"old": Found("old", 1, 3, {"retention.ms": "-1"})}
