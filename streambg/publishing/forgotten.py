"""Ends transactions that the broker has forgotten to end (P24).

A coordinator sends a transaction's markers to the leaders of its partitions. Where a partition has no leader at that
moment, Kafka 4.3.1 takes it for deleted and calls the transaction complete without that marker (its
TransactionMarkerChannelManager, and KRaftMetadataCache.getPartitionLeaderEndpoint). Seen where the only broker was
killed behind the decision of a commit, and was fenced by its controller while it came back: the outcomes were visible,
the positions pending for ever. No timeout ends such a transaction; the next marker of the same producer id does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import structlog
from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined] # exported, but not by the package's own stubs
    AdminClient,
    OffsetSpec,
)

from streambg.errors import SessionEnded, Unreachable
from streambg.kafka.looking import EOF_WAIT_S, READ, Spot
from streambg.kafka.membership import members
from streambg.publishing.fencing import KEY, committed_now, leave_open
from streambg.publishing.resume import NOTHING_LEFT
from streambg.publishing.site import Site
from streambg.publishing.tail import letter_says, output_says

# Who is alive may have a transaction open where it published before: it ends with its session, or 10 s later by the
# broker, which looks every 10 s.
PATIENCE_S = 22.0
# Where everybody else is dead, and fenced, nothing can be open: this is for a slow broker.
ALONE_S = 5.0
LOOK_AGAIN_S = 0.1
CALL_TIMEOUT_S = 5

LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call] # the client has no types here

log = structlog.get_logger("streambg.publisher")


class Forgotten(SessionEnded):
    """A transaction stands open that nobody can have open."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: the broker forgot to end it", way_out="a publisher that starts ends it, and starts over"
        )


class Undecided(SessionEnded):
    """Behind somebody else's open transaction stand outcomes of ours that no position covers."""

    def __init__(self, spot: Spot, stable: int) -> None:
        super().__init__(
            f"{spot[0]}/{spot[1]}: somebody else's open transaction hides log offset {stable} on, and nobody can say "
            "which outcomes behind it are decided",
            way_out="wait for its end, or end it: `kafka-transactions.sh find-hanging` names it, `abort` ends it",
        )


def stable_positions(
    site: Site, consumer: Consumer, positions: Sequence[TopicPartition], patience: float
) -> list[TopicPartition]:
    """The committed positions once no transaction is pending on them. Raises Forgotten where one stays so."""
    for wait_s in (patience, ALONE_S):
        try:
            return consumer.committed(list(positions), wait_s)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._TIMED_OUT:
                raise
        committed_now(site, positions)  # raises where it is the broker that is away
    raise Forgotten(f"positions are pending for {patience:g} s by a transaction that nobody has open")


def require_cutovers(site: Site, admin: AdminClient, patience: float) -> None:
    """Raises Forgotten where a transaction stays open over cutover records, which all publishers read and write."""
    if _open(site, admin, [(site.cutovers, 0)], patience):
        raise Forgotten(f"a transaction that nobody ends hides records of {site.cutovers}")


def require_outcomes(
    site: Site,
    admin: AdminClient,
    settled: Mapping[int, int],
    superseded: Mapping[int, tuple[int, int]],
    begins: Mapping[int, int],
    floors: Mapping[int, int],
    patience: float,
    alarm: Callable[[str], None],
) -> None:
    """Raises Forgotten where a transaction stays open over outcomes of these partitions that no position covers.

    settled: of each partition what the committed positions say. Outcomes that they cover were decided for, and are
    left as they are: the next end of a transaction of the same producer there decides, and a commit shows them. Until
    then each session says so. superseded: the same of superseding records, (epoch, source offset) as told among the
    cutovers; what lies beyond is written again, and must not be seen twice (P36). begins, floors: as in `read_tails`.
    Where it is not this pipeline's transaction that hides what no position covers, no fencing of ours ends it: raises
    Undecided until it has ended.
    """
    spots = [(topic, number) for topic in (site.output, site.dead_letters) for number in settled]
    for spot, (stable, end) in _open(site, admin, spots, patience).items():
        topic, number = spot
        begin = begins[number] if topic == site.output else 0
        first, hides = _hidden(site, spot, (max(stable, begin), end), floors[number], superseded[number])
        ours = first and stable >= begin  # below it stands somebody's of before this pipeline
        if hides is not None and hides > settled[number]:
            if ours:
                raise Forgotten(f"{topic}/{number}: a transaction that nobody ends hides log offset {stable} on")
            raise Undecided(spot, stable)
        log.warning("hidden_outcomes", topic=topic, partition=number, log_offset=stable, source=hides if ours else None)
        if ours:
            alarm(f"{topic}/{number}: outcomes up to source offset {hides} are committed, and hidden by an open end")


def _open(site: Site, admin: AdminClient, spots: Iterable[Spot], patience: float) -> dict[Spot, tuple[int, int]]:
    """Where a transaction that is open now stays open: the last stable offset and the end there."""
    written = _ends(admin, spots, IsolationLevel.READ_UNCOMMITTED)
    deadline = site.clients.now() + patience
    stable = _ends(admin, written, IsolationLevel.READ_COMMITTED)
    while hiding := {spot: (end, written[spot]) for spot, end in stable.items() if end < written[spot]}:
        if site.clients.now() > deadline:
            break
        site.clients.wait(LOOK_AGAIN_S)
        stable = _ends(admin, hiding, IsolationLevel.READ_COMMITTED)
    return hiding


def _ends(admin: AdminClient, spots: Iterable[Spot], level: IsolationLevel) -> dict[Spot, int]:
    wanted = dict.fromkeys((TopicPartition(*spot) for spot in spots), LATEST)
    futures = admin.list_offsets(wanted, isolation_level=level, request_timeout=CALL_TIMEOUT_S)
    return {(each.topic, each.partition): future.result().offset for each, future in futures.items()}


def _hidden(
    site: Site, spot: Spot, hides: tuple[int, int], floor: int, superseded: tuple[int, int]
) -> tuple[bool, int | None]:
    """Is the first record in [last stable offset, end), which is an open transaction's, of this pipeline? And the
    largest source offset of this pipeline's outcomes there, also of those that nobody sees.

    Of those behind the first one nobody can say whether they are decided: above settled all of them count. What was
    written to be aborted, and was forgotten in its turn, is above all of them, and so is what supersedes and is not
    told of (P36): nobody may ever see it.
    """
    raw = {**site.reader, "enable.partition.eof": True, "isolation.level": "read_uncommitted"}
    first: bool | None = None
    largest: int | None = None
    consumer = site.clients.consumer(raw)
    try:
        for message in _records(site, consumer, spot, *hides):
            source = _source(message, spot[0] == site.dead_letters, floor, superseded)
            first = source is not None if first is None else first
            if source == NOTHING_LEFT:
                return first, NOTHING_LEFT
            if source is not None:
                largest = source if largest is None else max(largest, source)
    finally:
        consumer.close()
    return first is True, largest


def _records(site: Site, consumer: Consumer, spot: Spot, at: int, end: int) -> Iterator[Message]:
    """Of [at, end), one by one: there may be millions. Raises Unreachable where nothing comes for CALL_TIMEOUT_S."""
    consumer.assign([TopicPartition(*spot, at)])
    heard = site.clients.now()
    while at < end:
        messages, now = consumer.consume(READ, EOF_WAIT_S), site.clients.now()
        if messages:
            heard = now
        elif now - heard > CALL_TIMEOUT_S:
            raise Unreachable(
                f"{spot[0]}/{spot[1]}: nothing came from log offset {at} on for {CALL_TIMEOUT_S} s",
                way_out="is the broker up, and may this process read the topic?",
            )
        for message in messages:
            error = message.error()
            at = (message.offset() or 0) + 1
            if at > end or (error is not None and error.code() == KafkaError._PARTITION_EOF):
                return  # what is left are markers
            if error is not None:
                raise KafkaException(error)
            yield message


def _source(message: Message, letters: bool, floor: int, superseded: tuple[int, int]) -> int | None:
    """Which event of this pipeline it is about."""
    if message.key() == KEY and message.value() is None:
        return NOTHING_LEFT
    try:
        tail, supersedes = letter_says(message) if letters else output_says(message)
    except ValueError:
        return None
    if tail.epoch < floor:
        return None
    return NOTHING_LEFT if supersedes and (tail.epoch, tail.offset) > superseded else tail.offset


@contextmanager
def ending_forgotten(
    site: Site,
    admin: AdminClient,
    ids: Collection[str],
    position: TopicPartition,
    alarm: Callable[[str], None],
) -> Iterator[None]:
    """What raises Forgotten within is told, and so prepared that the next session's fencing ends it; Undecided is told.

    ids: of whom it may be. Each gets a transaction that reaches everywhere a publisher writes, and is left open: what
    is hidden in a partition that somebody else has by now would come into sight with a later commit.
    """
    try:
        yield
    except Undecided as error:
        alarm(error.what)
        raise
    except Forgotten as error:
        alarm(error.what)
        try:
            dead = set(ids) - (members(admin, site.group) - {site.transactional_id})  # who came to life meanwhile
            leave_open(site, dead, position, _everywhere(site, admin))
        except KafkaException as failed:
            raise error from failed  # the next session tries again
        log.warning("forgotten_ended", transactional_ids=sorted(dead))
        raise


def _everywhere(site: Site, admin: AdminClient) -> list[Spot]:
    topics = [site.output, site.dead_letters, site.cutovers]
    described = admin.describe_topics(TopicCollection(topics), request_timeout=CALL_TIMEOUT_S)
    return [(topic, number) for topic in topics for number in range(len(described[topic].result().partitions))]
