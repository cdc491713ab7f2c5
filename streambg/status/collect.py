"""Reads a pipeline's state from its topics and groups; Redis may be down."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streambg.comparing.evidence_log import EvidenceReader
from streambg.comparing.judging import case_of
from streambg.comparing.liveview import LiveView, read_live_view, summary_of
from streambg.comparing.pair import Pair, pair_of
from streambg.comparing.summary import Summary
from streambg.comparing.told import Told, told
from streambg.comparing.verdict_log import read_verdicts
from streambg.config import Pipeline
from streambg.config.redaction import redact_text
from streambg.control import verbs
from streambg.control.fold import Entry
from streambg.control.follower import ControlFollower
from streambg.control.state import ControlState
from streambg.errors import StreambgError
from streambg.kafka import admin, profiles
from streambg.kafka.errors import translate
from streambg.kafka.looking import Look
from streambg.publishing.tail import Settlements, read_settlements
from streambg.records.source import COLORS
from streambg.status import figures
from streambg.status.lanes import lanes
from streambg.status.places import Places, read_places
from streambg.status.report import Command, Evidence, Member, Servers, Status, Superseding
from streambg.status.tails import read_outcomes
from streambg.superseding.plan import carried

CLIENT = "streambg.status"
# How many commands the status shows; `history` has them all.
LAST_COMMANDS = 5
GROUPS_TIMEOUT_S = 10
FOLD_TIMEOUT_S = 15.0
# Rates come from two looks: a second holds at least ten polls of a scorer and twenty transactions of a publisher.
APART_S = 1.0


class Collector:
    """Looks as often as it is asked to, with the same clients: `with Collector(pipeline) as collector`."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._reader: Mapping[str, Any] = {**profiles.reader(pipeline, CLIENT), **verbs.QUIET}
        follow = {**profiles.reader(pipeline, CLIENT, follow=True), **verbs.QUIET}
        self._follower = ControlFollower(follow, pipeline.topics.control, pipeline.ignore_records)
        self._admin = AdminClient({**profiles.admin(pipeline, CLIENT), **verbs.QUIET})
        self._look = Look(self._reader)
        self._evidence: EvidenceReader | None = None
        self._before: Places | None = None

    def __enter__(self) -> Self:
        self._follower.start()
        self._look.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._follower.stop()
        self._look.__exit__(kind, error, trace)
        if self._evidence is not None:
            self._evidence.close()

    def look(self) -> Status:
        """The first look takes APART_S longer: it looks twice. Raises Unreachable, Misconfigured.

        What Redis does not say is taken from the evidence topic.
        """
        pipeline = self._pipeline
        numbers = range(verbs.partitions_of_input(pipeline, self._admin))
        before = self._before or self._places(numbers)
        time.sleep(max(0.0, before.seen.ended_at + APART_S - time.monotonic()))
        control = self._follower.wait_caught_up(FOLD_TIMEOUT_S)
        state = control.state
        places = self._before = read_places(pipeline, self._reader, self._look, state, numbers)
        view, problem = self._live_view()
        settlements = read_settlements(self._reader, pipeline.topics.cutovers)
        return Status(
            pipeline.name,
            time.time_ns() // 1_000_000,
            state,
            control.folded,
            tuple(lanes(pipeline, self._look, control, places, settlements.cutovers)),
            self._members(places, view),
            pipeline.deciding_digest(),
            figures.rates(before.seen, places.seen),
            places.recent,
            self._evidence_of(state, view),
            view.as_json() if view is not None else None,
            read_outcomes(pipeline, self._look, numbers),
            tuple(_command(entry) for entry in list(self._follower.entries)[-LAST_COMMANDS:]),
            Servers(
                pipeline.kafka.bootstrap,
                admin.cluster_id(self._admin),
                admin.broker_count(self._admin),
                redact_text(pipeline.redis),
                problem,
            ),
            tuple(under_way(state, settlements)),
            self._verdict(state),
        )

    def _places(self, numbers: range) -> Places:
        state = self._follower.wait_caught_up(FOLD_TIMEOUT_S).state
        return read_places(self._pipeline, self._reader, self._look, state, numbers)

    def _members(self, places: Places, view: LiveView | None) -> dict[str, tuple[Member, ...]]:
        """P4: a member's file is what it said with the positions, or the live view, of the partitions that it has."""
        groups = self._pipeline.groups
        named = {f"scorer {color}": groups.scorer(color) for color in COLORS}
        named |= {"publisher": groups.publisher, "comparator": groups.comparator}
        described = self._admin.describe_consumer_groups(list(named.values()), request_timeout=GROUPS_TIMEOUT_S)
        members: dict[str, tuple[Member, ...]] = {}
        for name, group in named.items():
            try:
                found = described[group].result().members
            except KafkaException as error:
                if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                    raise translate(error, f"describing the group {group}") from error
                found = []  # a group that never was
            each = [
                (member.client_id, {part.partition for part in member.assignment.topic_partitions}) for member in found
            ]
            members[name] = tuple(
                Member(name, client, tuple(sorted(numbers)), _said(places, view, name, client, numbers))
                for client, numbers in sorted(each, key=lambda one: one[0])
            )
        return members

    def _live_view(self) -> tuple[LiveView | None, str]:
        try:
            view = read_live_view(self._pipeline.redis, self._pipeline.name)
        except StreambgError as error:
            return None, error.what
        return view, "" if view is not None else "no live view: nothing was compared of late, or no comparator runs"

    def _verdict(self, state: ControlState) -> Told | None:
        case = case_of(state)
        if case is None:
            return None
        return told(read_verdicts(self._reader, self._pipeline.topics.verdicts), case, int(time.time() * 1_000))

    def _evidence_of(self, state: ControlState, view: LiveView | None) -> Evidence | None:
        """Of the pair in force: from the live view, else from the snapshots in the evidence topic (P30)."""
        pair = pair_of(state)
        if pair is None or state.live is None:
            return None
        if view is not None and view.pair == pair:
            return _evidence("redis", pair, view.summary)
        if self._evidence is None:
            self._evidence = EvidenceReader(self._reader, self._pipeline.topics.evidence)
        self._evidence.catch_up()
        self._evidence.forget_before(pair)
        snapshots = [snapshot for snapshot in self._evidence.all() if snapshot.evidence.pair == pair]
        snapshots.sort(key=lambda snapshot: snapshot.evidence.partition)
        return _evidence("topic", pair, summary_of(snapshots, state.live)) if snapshots else None


def _said(places: Places, view: LiveView | None, group: str, client: str, numbers: set[int]) -> str | None:
    if group == "comparator":
        said = [rules for number, rules in view.rules.items() if number in numbers] if view is not None else []
    elif group == "publisher":
        # a member that has just taken a partition over has not claimed it yet: the position is its predecessor's
        said = [p.rules for n, p in places.settling.items() if n in numbers and p.transactional_id == client]
    else:
        scored = next((places.scored[color] for color in COLORS if group == f"scorer {color}"), {})
        said = [position.rules for number, (_, position) in scored.items() if number in numbers]
    return next(iter(said), None) or None


def _evidence(source: str, pair: Pair, summary: Summary) -> Evidence:
    return Evidence(
        source, pair.blue, pair.green, summary.compared, summary.agreement, summary.flips, summary.alarm_count
    )


def _command(entry: Entry) -> Command:
    envelope = entry.envelope
    return Command(
        entry.offset,
        entry.appended_ms,
        envelope.verb if envelope else None,
        envelope.actor if envelope else None,
        envelope.reason if envelope else "",
        entry.refusal,
    )


def under_way(state: ControlState, settlements: Settlements) -> Iterator[Superseding]:
    """The `supersede` commands that are not carried out yet."""
    for command in state.supersessions:
        now = carried(command, settlements.superseded)
        if not now.done:
            who = command.deployment
            yield Superseding(command.epoch, who.color, who.model, now.passed, now.total, now.written)
