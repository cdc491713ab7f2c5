"""From a request to a plan: what is read, pinned in the order that an audit pins it. Asks, and changes nothing."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Sequence

from confluent_kafka.admin import AdminClient

from streambg import __version__
from streambg.audit.kafka_pins import check_there, compacted, pin
from streambg.audit.sources import Role
from streambg.config import Pipeline
from streambg.control import verbs
from streambg.errors import ConfigError, Gap, Refused
from streambg.kafka import profiles
from streambg.kafka.admin import REACHABLE_S, await_reachable, cluster_id, describe
from streambg.kafka.positions import read_settled
from streambg.kafka.reading import LogReader
from streambg.labelling.cohorts import EARLY_MS
from streambg.models.manifest import Manifest
from streambg.models.registry import Registry
from streambg.publishing.tail import read_cutovers
from streambg.records.gate import LabelTerms
from streambg.records.rules import Rules
from streambg.records.source import COLORS
from streambg.replaying.code import code_of
from streambg.replaying.lanes import Seen, epoch_of, lanes_of, ranges_of
from streambg.replaying.plan import FORMAT, Lane, Plan, asks_of, deployed_of, identified
from streambg.replaying.reading import CLIENT, reader_config
from streambg.replaying.recorded import Identity, ModelVersion, TopicRange
from streambg.replaying.request import PUBLISHED, Request


class NoLabels(ConfigError):
    """The labels' topic holds none of the range: `ci validate` goes on without."""


def plan(pipeline: Pipeline, request: Request) -> Plan:
    """Everything pinned. Raises ConfigError for a range that is not there, ModelError for a model that does not fit,
    Gap where the input was made again, Refused where nothing was published; Unreachable, Denied, Misconfigured.
    """
    models = [_version(manifest) for manifest in _manifests(pipeline, request.models)]
    against_model = None
    if request.against != PUBLISHED and request.against not in COLORS:
        against_model = _version(_manifests(pipeline, [request.against])[0])
    text = pipeline.deciding_text()
    rules = Rules.from_text(text)
    admin = await_reachable(profiles.admin(pipeline, CLIENT), REACHABLE_S)
    seen = _look(pipeline, admin)
    _check_against(pipeline, request, seen)
    with LogReader(reader_config(pipeline), looks=True) as looks:
        lanes = lanes_of(pipeline, request, seen, looks)
        epoch = epoch_of(seen, lanes)
        topics = [each for lane in lanes for each in ranges_of(lane, seen, request.against, epoch, looks)]
        labels = _labels(pipeline, request, admin, lanes, looks)
    control = seen.names["control"]
    topics.append(TopicRange("control", control, seen.facts[control].topic_id, 0, 0, epoch + 1))
    identity = identified(
        Identity(
            "",
            pipeline.name,
            cluster_id(admin),
            (*topics, *labels),
            tuple(models),
            request.against,
            against_model,
            Rules.digest_of(text),
            epoch,
            {str(lane.partition): lane.settled for lane in lanes},
            request.as_if_weight,
            request.labels,
            {
                "streambg": __version__,
                "numpy": importlib.metadata.version("numpy"),
                "python": platform.python_version(),
                **code_of(rules, pipeline.registry),
            },
            pipeline.masks().words,
        )
    )
    deployed = deployed_of({number: state for number, state in seen.states.items() if number <= epoch})
    now_ms = int(time.time() * 1_000)
    file = str(pipeline.file.absolute())
    is_compacted = "input" in seen.compacted
    return Plan(
        FORMAT,
        identity,
        file,
        tuple(lanes),
        tuple(labels),
        deployed,
        asks_of(rules),
        is_compacted,
        now_ms,
        publish_to=request.publish_to,
    )


def check_same(pipeline: Pipeline, plan: Plan) -> None:
    """Before a replay goes on: are the topics still those that it began with, and the libraries? Raises Gap,
    ConfigError.
    """
    models = (*plan.identity.models, *filter(None, [plan.identity.against_model]))
    libraries = {name: each for name, each in plan.identity.versions.items() if name in _versions()}
    begun_by = {**libraries, **{name: each for model in models for name, each in model.runtime.items()}}
    here = {**_versions(), **{name: _installed(name) for model in models for name in model.runtime}}
    if begun_by != here:
        other = sorted(name for name in begun_by if begun_by[name] != here[name])
        said = ", ".join(f"{name} {begun_by[name]}, here is {here[name]}" for name in other)
        raise ConfigError(f"the replay was begun with {said}", way_out="begin a new replay, or go on where it began")
    admin = await_reachable(profiles.admin(pipeline, CLIENT), REACHABLE_S)
    begun = {each.topic: each.topic_id for each in plan.identity.topics}
    facts = describe(admin, list(begun))
    for topic, topic_id in begun.items():
        found = facts[topic].topic_id if topic in facts else "none"
        if found != topic_id:
            raise Gap(
                f"{topic} was deleted and made again since the replay began: its id is {found}, was {topic_id}",
                way_out="its offsets mean other records now; begin a new replay",
            )


def _manifests(pipeline: Pipeline, models: Sequence[str]) -> list[Manifest]:
    registry, contract = Registry(pipeline.registry), verbs.schema(pipeline)
    found = [registry.get(ref) for ref in models]
    for manifest in found:
        manifest.check_fits(contract)
    return found


def _version(manifest: Manifest) -> ModelVersion:
    """With the versions, as they are here, of the libraries that it was recorded with."""
    names = {"numpy", *manifest.libraries} - _versions().keys() | {"numpy"}
    return ModelVersion(
        manifest.ref, manifest.digest, manifest.format, {name: _installed(name) for name in sorted(names)}
    )


def _versions() -> dict[str, str]:
    return {"streambg": __version__, "numpy": _installed("numpy"), "python": platform.python_version()}


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _look(pipeline: Pipeline, admin: AdminClient) -> Seen:
    topics = pipeline.topics
    names: dict[Role, str] = {
        "input": topics.input,
        "output": topics.output,
        "dead-letters": topics.dead_letters,
        "control": topics.control,
        "cutovers": topics.cutovers,
        **{color: topics.predictions(color) for color in COLORS},
    }
    facts = describe(admin, list(names.values()))
    check_there(names, facts)
    config = reader_config(pipeline)
    predictions = [topics.predictions(color) for color in COLORS]
    partitions = range(facts[topics.input].partitions)
    # first where the publisher stands, then the ends: what is settled is within them
    settled = read_settled(config, pipeline.groups.publisher, predictions, partitions)
    spans = pin(admin, names, facts, True)
    states = {entry.state.epoch: entry.state for entry in verbs.entries(pipeline) if entry.accepted}
    cutovers = read_cutovers(config, topics.cutovers)
    return Seen(names, facts, settled, spans, states, cutovers, compacted(admin, names))


def _check_against(pipeline: Pipeline, request: Request, seen: Seen) -> None:
    if request.against == PUBLISHED and seen.state.live is None:
        raise Refused(
            f"{pipeline.name} has published nothing: nothing was ever deployed",
            way_out="compare with another model: --against NAME:VERSION",
        )
    if request.against in COLORS and not any(state.slots[request.against] for state in seen.states.values()):
        raise Refused(f"nothing was ever deployed to {request.against}", way_out="--against published")
    if request.against not in (PUBLISHED, *COLORS):
        return
    present = seen.facts[pipeline.topics.input].topic_id
    topic_ids = {cutover.topic_id for cutovers in seen.cutovers.values() for cutover in cutovers}
    if topic_ids and present not in topic_ids:
        raise Gap(
            f"{pipeline.topics.input} was deleted and made again since anything was published: its id is {present}, "
            f"the outcomes are of {', '.join(sorted(topic_ids))}",
            way_out="compare with another model: --against NAME:VERSION",
        )


def _labels(
    pipeline: Pipeline, request: Request, admin: AdminClient, lanes: Sequence[Lane], looks: LogReader
) -> list[TopicRange]:
    gate = pipeline.gate()
    if not request.labels:
        return []
    terms: LabelTerms | None = gate.labels if gate is not None else None
    if terms is None:
        raise ConfigError(
            f"{pipeline.file} declares no labels for its metrics",
            way_out="declare `labels` there, or leave --labels out",
        )
    facts = describe(admin, [terms.topic])
    if terms.topic not in facts:
        raise ConfigError(
            f"there is no topic {terms.topic}, which is to hold the labels",
            way_out="make it: `streambg topics apply`; `streambg replay` without --labels needs none",
        )
    first = [
        record.time_ms for lane in lanes if (record := looks.at(pipeline.topics.input, lane.partition, lane.begin))
    ]
    ranges = []
    for partition in range(facts[terms.topic].partitions):
        low, high = looks.ends(terms.topic, partition)
        start = (
            max(low, min(high, looks.since(terms.topic, partition, max(0, min(first) - EARLY_MS)))) if first else low
        )
        ranges.append(TopicRange("labels", terms.topic, facts[terms.topic].topic_id, partition, start, high))
    if all(each.start >= each.end for each in ranges):
        raise NoLabels(
            f"{terms.topic} holds no label of this range or later",
            way_out="wait for labels, replay an earlier range, or leave --labels out",
        )
    return ranges
