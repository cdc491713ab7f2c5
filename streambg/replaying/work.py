"""Replays partitions of a plan, one after the other, with checkpoints: in this process, or in a worker's."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import partial

from streambg.audit import GC_THRESHOLDS
from streambg.comparing.hooks import with_hooks
from streambg.comparing.pair import Terms
from streambg.comparing.side import Part
from streambg.config import Pipeline
from streambg.errors import ConfigError
from streambg.kafka.reading import LogReader
from streambg.models.registry import Registry
from streambg.previewing.preview import Question
from streambg.records.gate import Gate
from streambg.records.rules import Rules
from streambg.records.source import COLORS
from streambg.replaying.against import Against, AgainstColor, AgainstModel, AgainstPublished
from streambg.replaying.backfill import Sink, Stamp
from streambg.replaying.code import check_code
from streambg.replaying.contender import Contender, Spent
from streambg.replaying.labels import LabelTable
from streambg.replaying.lane_rows import LaneRows, layout_of
from streambg.replaying.partition import Candidate, PartitionReplay, Rule
from streambg.replaying.place import Place
from streambg.replaying.plan import (
    AGAINST,
    MODEL_ID,
    Lane,
    Plan,
    against_deployment,
    deployments,
    judgeable,
)
from streambg.replaying.proof import Prover
from streambg.replaying.reading import Pace, Readers, Reading, reader_config
from streambg.replaying.request import PUBLISHED
from streambg.replaying.state import LabelsRead, State, begun
from streambg.replaying.stored import Stored
from streambg.scoring.answerer import Answerer, load_answerer
from streambg.scoring.batching import Polled

# What a kill repeats at most; a checkpoint is some 100 KB and takes milliseconds.
CHECKPOINT_S = 5.0
FULL = 10_000

# Source offsets passed.
Told = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What all partitions share. against: a model's answerer; None for everything else."""

    rules: Rules
    rule: Rule
    models: Sequence[Answerer]
    against: Answerer | None
    labels: LabelTable | None


def terms_of(pipeline: Pipeline, rules: Rules) -> Terms:
    """What is counted, with the team's functions. Raises ModelError."""
    gate, _ = judgeable(None if rules.gate is None else Gate.from_data(rules.gate))
    terms = Terms(len(rules.outputs), rules.decision_output or 0, rules.decision_threshold, gate)
    return with_hooks(terms, pipeline.registry)


def load(pipeline: Pipeline, plan: Plan) -> Loaded:
    """Models and labels, once for all partitions. Raises ModelError, Unreachable, Gap, ConfigError."""
    identity = plan.identity
    text = pipeline.deciding_text()
    if Rules.digest_of(text) != identity.rules_digest:
        raise ConfigError(
            f"the sections of {pipeline.file} that decide were changed since the replay began",
            way_out="begin a new replay, or put the file back as it was",
        )
    if pipeline.masks().words != identity.masked:
        raise ConfigError(
            f"what {pipeline.file} masks in reports (`replay:`) was changed since the replay began",
            way_out="begin a new replay, or put the file back as it was",
        )
    rules = Rules.from_text(text)
    check_code(identity.versions, rules, pipeline.registry)
    registry, carry, topic = Registry(pipeline.registry), pipeline.input.carry, pipeline.topics.input
    models = [load_answerer(registry, each, carry, topic) for each in deployments(identity.models, rules)]
    other = None
    if identity.against_model is not None:
        other = load_answerer(registry, against_deployment(identity, rules), carry, topic)
    terms = terms_of(pipeline, rules)
    falls_back = rules.live_failed == "candidate"
    as_if = identity.as_if_weight
    questions = [
        None if weight is None else Question(topic, AGAINST, 0, weight, MODEL_ID, rules.bucket_field, falls_back)
        for weight in (FULL, as_if)
    ]
    assert questions[0] is not None
    return Loaded(rules, Rule(terms, questions[0], questions[1]), models, other, _labels(pipeline, plan, terms))


def _labels(pipeline: Pipeline, plan: Plan, terms: Terms) -> LabelTable | None:
    if not plan.labels or terms.gate is None or terms.gate.labels is None:
        return None
    table = LabelTable(terms.gate.labels)
    with LogReader(reader_config(pipeline)) as log:
        for part in plan.labels:
            table.begin()
            for messages in log.read(part.topic, part.partition, part.start, part.end):
                table.take([message.timestamp()[1] for message in messages], [message.value() for message in messages])
    table.sort()
    return table


class Worker:
    """Some partitions of a replay. `told` hears of the source offsets that were passed, resumed ones too."""

    def __init__(
        self,
        pipeline: Pipeline,
        plan: Plan,
        place: Place,
        rate: float | None,
        stopping: Callable[[], bool],
        told: Told,
    ) -> None:
        self._pipeline = pipeline
        self._plan = plan
        self._place = place
        self._rate = rate
        self._stopping = stopping
        self._told = told
        self._sink: Sink | None = None

    def run(self, partitions: Sequence[int]) -> None:
        """Until all is done. Raises Stopped where it is to stop: what was found stands in the checkpoints."""
        before = gc.get_threshold()
        gc.set_threshold(*GC_THRESHOLDS)
        try:
            loaded = load(self._pipeline, self._plan)
            pace = Pace(self._rate, self._stopping)
            with self._backfill() as self._sink, Readers(self._pipeline) as readers:
                for lane in self._plan.lanes:
                    if lane.partition in partitions:
                        self._replay(lane, loaded, pace, readers)
        finally:
            gc.set_threshold(*before)

    def _backfill(self) -> AbstractContextManager[Sink | None]:
        plan = self._plan
        if plan.publish_to is None:
            return nullcontext()
        [model] = plan.identity.models
        return Sink(self._pipeline, plan.publish_to, Stamp(plan.identity.id, model.ref, model.digest))

    def _replay(self, lane: Lane, loaded: Loaded, pace: Pace, readers: Readers) -> None:
        state = self._place.state(lane.partition) or begun(lane, loaded.rule.terms, len(loaded.models))
        self._told(state.upto + 1 - lane.begin)
        if state.done:
            return
        if loaded.labels is not None:
            state.labels = LabelsRead(loaded.labels.read, dict(loaded.labels.bad))
            state.met = state.met or loaded.labels.begun()
        started, before = time.monotonic(), state.seconds
        if self._sink is not None:
            self._sink.begin(lane.partition)
        with Reading(self._pipeline, lane, pace, readers) as reading:
            outputs = loaded.rule.terms.outputs
            published = self._plan.identity.against == PUBLISHED  # then the values are those of the output
            with closing(Stored(reading.stored, outputs, values=not published)) as stored:
                with self._rows(lane, loaded, state) as rows:
                    replay = self._partition(lane, loaded, reading, stored, state, rows)
                    self._windows(replay, reading, lambda: before + time.monotonic() - started, rows)
                state.supersedes = reading.drained().supersedes
        state.done, state.met, state.seconds = True, None, before + time.monotonic() - started
        if self._sink is not None:
            self._sink.end(lane.partition)
        self._place.write_state(state)

    def _rows(self, lane: Lane, loaded: Loaded, state: State) -> AbstractContextManager[LaneRows | None]:
        if self._plan.rows is None:
            return nullcontext()
        layout = layout_of(self._plan, loaded.rules, tuple(self._pipeline.input.carry))
        return LaneRows(self._place, lane.partition, state.upto, layout)

    def _checkpoint(self, state: State, rows: LaneRows | None) -> None:
        """Rows first: those that no checkpoint knows are written again."""
        if rows is not None:
            rows.keep(state.upto)
        self._place.write_state(state)

    def _windows(
        self, replay: PartitionReplay, reading: Reading, seconds: Callable[[], float], rows: LaneRows | None
    ) -> None:
        state, written = replay.state, time.monotonic()
        windows = reading.windows(state.upto)
        while True:
            try:
                window = next(windows, None)
            except BaseException:
                # between two windows the state is whole: whatever ends the reading, it is kept
                state.seconds = seconds()
                self._checkpoint(state, rows)
                raise
            if window is None:
                return
            before = state.upto
            replay.step(*window)
            self._told(state.upto - before)
            if time.monotonic() - written >= CHECKPOINT_S:
                state.seconds = seconds()
                self._checkpoint(state, rows)
                written = time.monotonic()

    def _partition(
        self, lane: Lane, loaded: Loaded, reading: Reading, stored: Stored, state: State, rows: LaneRows | None
    ) -> PartitionReplay:
        outputs, partition = loaded.rule.terms.outputs, lane.partition
        candidates = []
        for answerer, model, found in zip(loaded.models, self._plan.identity.models, state.models, strict=True):
            contender = Contender(answerer, partition, outputs, found.spent)
            candidates.append(Candidate(contender, self._prover(contender, model.digest, partition)))
        against = self._against(lane, loaded, reading, stored, state)
        wanted = None if rows is None else rows.write
        publish = partial(self._publish, partition) if self._sink is not None else None
        return PartitionReplay(state, candidates, against, loaded.rule, loaded.labels, reading.fetch, wanted, publish)

    def _publish(self, partition: int, events: Polled, part: Part, high: int) -> None:
        """Every event has one row of the model, in the same order."""
        assert self._sink is not None
        values = [value if ok else None for value, ok in zip(part.values, part.ok.tolist(), strict=True)]
        self._sink.write(partition, part.offsets, events.keys, values, high)

    def _prover(self, contender: Contender, digest: str, partition: int) -> Prover | None:
        mine = [each for each in self._plan.by_id().values() if each.digest == digest]
        if self._plan.identity.against_model is not None or not mine:
            return None
        same = [each.id for each in mine if each.asks == self._plan.asks]
        others = [each.id for each in mine if each.asks != self._plan.asks]
        return Prover(self._pipeline.topics.input, partition, same, others, contender.ask, self._pipeline.masks())

    def _against(self, lane: Lane, loaded: Loaded, reading: Reading, stored: Stored, state: State) -> Against:
        outputs, against = loaded.rule.terms.outputs, self._plan.identity.against
        if loaded.against is not None:
            return AgainstModel(Contender(loaded.against, lane.partition, outputs, Spent()))
        if against == PUBLISHED:
            streams = (reading.outcomes("output", state.upto), reading.outcomes("dead-letters", state.upto))
            return AgainstPublished(*streams, stored, lane, self._plan.deployed, loaded.rules.outputs)
        color = next(each for each in COLORS if each == against)  # one of them: the plan was checked
        ids = sorted(each.id for each in self._plan.by_id().values() if each.color == color)
        begins = [(after, each) for each in ids if (after := reading.begin_of(color, each)) is not None]
        return AgainstColor(color, stored, begins, outputs)
