"""From a request to a plan: what is read, pinned in the order that an audit pins it. Asks, and changes nothing."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient

from streambg import __version__
from streambg.audit.kafka_pins import check_there, compacted, pin
from streambg.audit.sources import PARTITIONED, Role, Span
from streambg.config import Pipeline
from streambg.control import verbs
from streambg.control.state import ControlState
from streambg.errors import ConfigError, Gap, Refused
from streambg.kafka import profiles
from streambg.kafka.admin import TopicFacts, await_reachable, cluster_id, describe
from streambg.kafka.positions import read_settled
from streambg.kafka.reading import LogReader
from streambg.labelling.cohorts import EARLY_MS
from streambg.looking.finding import first_reaching
from streambg.looking.logs import Outcomes, Predictions
from streambg.models.manifest import Manifest
from streambg.models.registry import Registry
from streambg.publishing.resume import epoch_floor
from streambg.publishing.tail import read_cutovers
from streambg.records.cutover import Cutover
from streambg.records.gate import LabelTerms
from streambg.records.rules import Rules
from streambg.records.source import COLORS, Color
from streambg.replaying.document import Identity, ModelVersion, TopicRange
from streambg.replaying.plan import FORMAT, NOWHERE, Ends, Lane, Plan, asks_of, deployed_of, identified
from streambg.replaying.reading import CLIENT, reader_config
from streambg.replaying.request import PUBLISHED, Bound, Request

REACHABLE_S = 15.0
OUTCOMES: tuple[Role, Role] = ("output", "dead-letters")


@dataclass(frozen=True, slots=True)
class _Seen:
    """The pipeline as it was found. spans: (role, partition) -> log offsets."""

    names: Mapping[Role, str]
    facts: Mapping[str, TopicFacts]
    settled: Mapping[int, int]
    spans: Mapping[tuple[Role, int], Span]
    states: Mapping[int, ControlState]
    cutovers: Mapping[int, Sequence[Cutover]]
    compacted: frozenset[Role]

    @property
    def state(self) -> ControlState:
        return self.states[max(self.states)] if self.states else ControlState()


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
        lanes = _lanes(pipeline, request, seen, looks)
        topics = [each for lane in lanes for each in _ranges(lane, seen, request.against, looks)]
        labels = _labels(pipeline, request, admin, lanes, looks)
    epoch = _epoch(seen, lanes)
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
            },
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
        request.publish_to,
    )


def check_same(pipeline: Pipeline, plan: Plan) -> None:
    """Before a replay goes on: are the topics still those that it began with, and the libraries? Raises Gap,
    ConfigError.
    """
    models = (*plan.identity.models, *filter(None, [plan.identity.against_model]))
    begun_by = {**plan.identity.versions, **{name: each for model in models for name, each in model.runtime.items()}}
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


def _look(pipeline: Pipeline, admin: AdminClient) -> _Seen:
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
    return _Seen(names, facts, settled, spans, states, cutovers, compacted(admin, names))


def _check_against(pipeline: Pipeline, request: Request, seen: _Seen) -> None:
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


def _lanes(pipeline: Pipeline, request: Request, seen: _Seen, looks: LogReader) -> list[Lane]:
    topic = pipeline.topics.input
    total = seen.facts[topic].partitions
    named = set(request.partitions) | set(request.begin.offsets) | set(request.end.offsets)
    if wrong := sorted(number for number in named if not 0 <= number < total):
        raise ConfigError(
            f"{topic} has no partition {wrong[0]}: they are 0 to {total - 1}", way_out=f"--partition {total - 1}"
        )
    lanes, said = [], []
    for partition in sorted(set(request.partitions)) or range(total):
        span = seen.spans["input", partition]
        asked = _offset(request.begin, looks, topic, partition, span.start)
        end = min(_offset(request.end, looks, topic, partition, span.end), span.end)
        begin = max(asked, span.start)
        said.append(f"{topic}/{partition} holds {span.start} to {span.end - 1}, asked for {asked} to {end - 1}")
        if begin < end:
            lanes.append(_lane(pipeline, partition, asked, begin, end, seen, looks))
    if not lanes:
        raise ConfigError(
            f"there is no event in the range: {'; '.join(said[:8])}",
            way_out="give a range that the input still holds: --from, --to, --last",
        )
    return lanes


def _offset(bound: Bound, looks: LogReader, topic: str, partition: int, otherwise: int) -> int:
    if partition in bound.offsets:
        return bound.offsets[partition]
    if bound.offset is not None:
        return bound.offset
    return otherwise if bound.time_ms is None else looks.since(topic, partition, bound.time_ms)


def _lane(pipeline: Pipeline, partition: int, asked: int, begin: int, end: int, seen: _Seen, looks: LogReader) -> Lane:
    cutovers = seen.cutovers.get(partition, [])
    floor = epoch_floor(cutovers, seen.facts[pipeline.topics.input].topic_id)
    mine = [cutover for cutover in cutovers if cutover.epoch >= floor]
    origins = [cutover.origin for cutover in mine if cutover.origin is not None]
    origin = origins[0] if origins else seen.state.start_of(partition)
    settled = min(seen.settled.get(partition, origin - 1), end - 1)
    span = seen.spans["input", partition]
    logs: dict[str, Ends] = {}
    outcomes_from = 0
    for role in OUTCOMES:
        log = Outcomes(looks, seen.names[role], partition, floor, letters=role == "dead-letters")
        low, high = seen.spans[role, partition].start, seen.spans[role, partition].end
        log.low, log.high = low, high
        start = _reaching(log, begin) if begin > max(span.start, origin) else low
        # what is not settled has no outcome: nothing to look for
        logs[role] = Ends(start, _reaching(log, end) if end <= settled else high)
        if role in seen.compacted:
            outcomes_from = NOWHERE
        elif low > ((seen.state.output_begin(partition) or 0) if role == "output" else 0):
            first = log.mark(low)
            outcomes_from = max(outcomes_from, NOWHERE if first is None else first.source)
    for color in COLORS:
        logs[color] = Ends(seen.spans[color, partition].start, seen.spans[color, partition].end)
    output_begin = seen.state.output_begin(partition)
    return Lane(partition, asked, begin, end, settled, origin, floor, output_begin, outcomes_from, logs)


def _reaching(log: Outcomes, source: int) -> int:
    """The log offset of the first outcome of this event or a later one; the end where there is none."""
    found = first_reaching(log, source)
    return log.high if found is None else found.offset


def _ranges(lane: Lane, seen: _Seen, against: str, looks: LogReader) -> list[TopicRange]:
    """What of a lane's topics the result rests on: as far as it is needed, where they go on."""
    roles: dict[Role, Ends] = {"input": Ends(lane.begin, lane.end)}
    if against == PUBLISHED:
        roles |= {role: lane.logs[role] for role in OUTCOMES}
    for color in COLORS:
        if against in (PUBLISHED, color):
            roles[color] = _answers(lane, seen, looks, color)
    return [
        TopicRange(role, seen.names[role], seen.facts[seen.names[role]].topic_id, lane.partition, ends.start, ends.end)
        for role in PARTITIONED
        if (ends := roles.get(role)) is not None
    ]


def _answers(lane: Lane, seen: _Seen, looks: LogReader, color: Color) -> Ends:
    """About where a color's answers of the range stand; what is read is decided by the fold."""
    whole = lane.logs[color]
    log = Predictions(looks, seen.names[color], lane.partition)
    start = whole.start if lane.begin <= lane.origin else _covering(log, whole, lane.begin)
    end = whole.end if lane.end > lane.settled else min(whole.end, _covering(log, whole, lane.end - 1) + 1)
    return Ends(start, end)


def _covering(log: Predictions, ends: Ends, source: int) -> int:
    """The first batch that reaches to the event; the end where there is none."""
    low, high = ends.start, ends.end
    while low < high:
        middle = (low + high) // 2
        head = log.head(middle)
        if head is not None and head.upto < source:
            low = middle + 1
        else:
            high = middle
    return low


def _epoch(seen: _Seen, lanes: Sequence[Lane]) -> int:
    """The last epoch that decides an event of the range: commands that came later change nothing here."""
    if any(lane.end > lane.settled + 1 for lane in lanes):
        return seen.state.epoch
    cut = [
        cutover.epoch
        for lane in lanes
        for cutover in seen.cutovers.get(lane.partition, [])
        if cutover.first < lane.end and cutover.epoch >= lane.floor
    ]
    return max(cut, default=seen.state.epoch)


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
            way_out="make it, or leave --labels out: streambg topics apply",
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
        raise ConfigError(
            f"{terms.topic} holds no label of this range or later",
            way_out="wait for labels, replay an earlier range, or leave --labels out",
        )
    return ranges
