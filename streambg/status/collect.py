"""Reads a pipeline's state from its topics and groups; Redis may be down."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streambg.comparing.liveview import read_live_view
from streambg.config import Pipeline
from streambg.control import verbs
from streambg.control.fold import Entry
from streambg.control.state import ControlState
from streambg.errors import StreambgError
from streambg.kafka import profiles
from streambg.kafka.looking import Look
from streambg.kafka.positions import read_positions
from streambg.publishing.tail import read_cutovers
from streambg.records.cutover import Cutover, PublisherPosition
from streambg.records.source import COLORS
from streambg.status.report import Lane, Status

CLIENT = "streambg.status"
# How many commands the status shows; `history` has them all.
LAST_COMMANDS = 5
GROUPS_TIMEOUT_S = 10


def collect(pipeline: Pipeline) -> Status:
    """Raises Unreachable, Misconfigured. What Redis does not say is left out, with the reason."""
    entries: list[Entry] = []
    control = verbs.client(pipeline)
    control.follower.on_entry = entries.append
    with control:
        state = control.state()
        folded = control.follower.snapshot().folded
    view, problem = _live_view(pipeline)
    return Status(
        pipeline.name,
        state,
        folded,
        tuple(_lanes(pipeline, state)),
        _members(pipeline),
        pipeline.deciding_digest(),
        view,
        problem,
        tuple(_command(entry) for entry in entries[-LAST_COMMANDS:]),
    )


def _lanes(pipeline: Pipeline, state: ControlState) -> list[Lane]:
    reader = {**profiles.reader(pipeline, CLIENT), **verbs.QUIET}
    topics = pipeline.topics
    numbers = range(verbs.partitions_of_input(pipeline))
    predictions = [topics.predictions(color) for color in COLORS]
    positions: dict[int, PublisherPosition] = {}
    for (_, number), (_, position) in read_positions(reader, pipeline.groups.publisher, predictions, numbers).items():
        best = positions.get(number)
        positions[number] = position if best is None or position.settled > best.settled else best
    cutovers = read_cutovers(reader, topics.cutovers)
    with Look(reader) as look:
        return [
            _lane(pipeline, state, look, number, positions.get(number), cutovers.get(number, [])) for number in numbers
        ]


def _lane(
    pipeline: Pipeline,
    state: ControlState,
    look: Look,
    number: int,
    position: PublisherPosition | None,
    cutovers: list[Cutover],
) -> Lane:
    topics = pipeline.topics
    _, end = look.ends(topics.input, number)
    settled = position.settled if position else None
    waits_from = settled + 1 if settled is not None else state.start_of(number)
    deployments = {color: state.slots[color] for color in COLORS}
    return Lane(
        number,
        end,
        {
            color: look.covered(topics.predictions(color), number, deployment.id) if deployment else None
            for color, deployment in deployments.items()
        },
        settled,
        position.epoch if position else None,
        cutovers[-1].first if cutovers else None,
        position.transactional_id if position else None,
        look.age_ms(topics.input, number, waits_from, end),
    )


def _members(pipeline: Pipeline) -> dict[str, int]:
    groups = {f"scorer {color}": pipeline.groups.scorer(color) for color in COLORS}
    groups |= {"publisher": pipeline.groups.publisher, "comparator": pipeline.groups.comparator}
    admin = AdminClient({**profiles.admin(pipeline, CLIENT), **verbs.QUIET})
    described = admin.describe_consumer_groups(list(groups.values()), request_timeout=GROUPS_TIMEOUT_S)
    members: dict[str, int] = {}
    for name, group in groups.items():
        try:
            members[name] = len(described[group].result().members)
        except KafkaException:
            members[name] = 0  # a group that never was
    return members


def _live_view(pipeline: Pipeline) -> tuple[dict[str, Any] | None, str]:
    try:
        view = read_live_view(pipeline.redis, pipeline.name)
    except StreambgError as error:
        return None, error.what
    return (view.as_json(), "") if view is not None else (None, "no live view: is the comparator running?")


def _command(entry: Entry) -> dict[str, Any]:
    return {
        "offset": entry.offset,
        "verb": entry.envelope.verb if entry.envelope else None,
        "actor": entry.envelope.actor if entry.envelope else None,
        "accepted": entry.accepted,
        "refusal": entry.refusal,
    }
