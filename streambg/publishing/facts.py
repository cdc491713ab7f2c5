"""What a publisher reads before it goes on: positions, tails, cutovers, identities (P24, P25)."""

from __future__ import annotations

from collections.abc import Callable, Collection

from confluent_kafka import Consumer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from streambg.control.state import ControlState
from streambg.kafka.looking import ranges
from streambg.publishing import resume
from streambg.publishing.forgotten import ALONE_S, PATIENCE_S, require_cutovers, require_outcomes, stable_positions
from streambg.publishing.resume import Committed, Facts, Tail
from streambg.publishing.site import Site
from streambg.publishing.tail import first_stamped, read_settlements, read_tails
from streambg.records.cutover import decode_publisher_position
from streambg.records.source import COLORS

WATERMARK_TIMEOUT_S = 5.0
ADMIN_TIMEOUT_S = 10


def read_facts(
    site: Site,
    admin: AdminClient,
    consumer: Consumer,
    numbers: Collection[int],
    state: ControlState,
    alarm: Callable[[str], None],
    *,
    alone: bool = False,
) -> list[Facts]:
    """In P24's order: committed positions (stable), then tails. The dead must be fenced by now.

    state: says which records of the output can be ours (P25). Before the first deploy none is.
    alarm: told of what is committed and stays hidden (`require_outcomes`). alone: every other publisher is dead and
    fenced, so that no transaction of this pipeline can be open. Raises Forgotten where one stays so, and Undecided.
    """
    positions = [TopicPartition(site.predictions[color], number) for number in sorted(numbers) for color in COLORS]
    committed: dict[tuple[str, int], Committed] = {}
    settled = dict.fromkeys(numbers, -1)
    patience = ALONE_S if alone else PATIENCE_S
    for found in stable_positions(site, consumer, positions, patience):
        position = decode_publisher_position(found.metadata)
        offset = found.offset if found.offset >= 0 and position is not None else None
        committed[found.topic, found.partition] = Committed(offset, position if offset is not None else None)
        settled[found.partition] = max(settled[found.partition], position.settled if position is not None else -1)
    topic_id, cluster_id = identify(admin, site.input)
    require_cutovers(site, admin, patience)
    settlements = read_settlements(site.reader, site.cutovers, site.clients, complete=True)
    cutovers = settlements.cutovers
    floors = {number: resume.epoch_floor(cutovers.get(number, []), topic_id) for number in numbers}
    begins = {number: state.output_begin(number) or 0 for number in numbers}
    tails: dict[int, Tail | None] = dict.fromkeys(numbers)
    if state.live is not None:
        told = {number: settlements.superseded_to(number) for number in numbers}
        require_outcomes(site, admin, settled, told, begins, floors, patience, alarm)
        tails = read_tails(site.reader, site.output, site.dead_letters, floors, begins, site.clients)
    stamped = {
        number: first_stamped(
            site.reader, {site.output: begins[number], site.dead_letters: 0}, number, tail.epoch, site.clients
        )
        for number, tail in tails.items()
        if tail is not None and resume.missing_record(tail, cutovers.get(number, []), topic_id)
    }
    logs = ranges(consumer, [(each.topic, each.partition) for each in positions], WATERMARK_TIMEOUT_S)
    return [
        Facts(
            number,
            {color: committed[site.predictions[color], number] for color in COLORS},
            tails[number],
            cutovers.get(number, []),
            {color: logs[site.predictions[color], number] for color in COLORS},
            topic_id,
            cluster_id,
            stamped.get(number),
            settlements.last_superseded(number),
        )
        for number in sorted(numbers)
    ]


def identify(admin: AdminClient, topic: str) -> tuple[str, str]:
    """The topic's id and the cluster's id: offsets mean the same events only while both stay (P25, P27)."""
    described = admin.describe_topics(TopicCollection([topic]), request_timeout=ADMIN_TIMEOUT_S)[topic].result()
    cluster = admin.describe_cluster(request_timeout=ADMIN_TIMEOUT_S).result()
    return str(described.topic_id), str(cluster.cluster_id)
