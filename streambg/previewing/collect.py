"""The last events that both colors answered, read from the predictions topics; nothing is committed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from streambg.comparing.locate import covering, first_of
from streambg.comparing.pair import Pair, Terms, pair_of
from streambg.comparing.pairing import Pairing
from streambg.comparing.side import Place
from streambg.config import Pipeline
from streambg.control.state import ControlState, Phase
from streambg.errors import Refused
from streambg.kafka.reading import LogReader
from streambg.looking.logs import Predictions
from streambg.previewing.preview import Preview, Question, add, total
from streambg.records.batch import BadBatch, Batch, decode
from streambg.records.coverage import Coverage
from streambg.records.source import COLORS, Color

# The batches at a log's end that are looked at for the deployment's last one; a redeployed color's newest come last.
LAST_BATCHES = 64

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Looked:
    """What was counted, and on what: (after, upto] source offsets by partition, both deployments, epoch."""

    preview: Preview
    pair: Pair
    epoch: int
    ranges: Mapping[int, tuple[int, int]]


def preview(
    pipeline: Pipeline,
    reader: Mapping[str, Any],
    state: ControlState,
    terms: Terms,
    weight: int,
    last: int,
    partitions: int,
    progress: Progress,
) -> Looked:
    """Of about the last `last` events: what would change at `weight`. Raises Refused, Unreachable, Gap."""
    question, pair = ask(pipeline, state, weight)
    parts, ranges = [], {}
    with LogReader(reader, looks=True) as looks, LogReader(reader) as log:
        for partition in range(partitions):
            logs = {color: Predictions(looks, pipeline.topics.predictions(color), partition) for color in COLORS}
            interval = _interval(pair, logs, -(-last // partitions))
            if interval is not None:
                source = _Source(pipeline, log, logs, partition, state.epoch)
                found, upto = _count(source, interval, pair, terms, question)
                ranges[partition] = interval[0], upto
                parts.append(found)
            progress(partition + 1, partitions)
    return Looked(total(parts), pair, state.epoch, ranges)


def ask(pipeline: Pipeline, state: ControlState, weight: int) -> tuple[Question, Pair]:
    """Raises Refused where there is nothing to compare."""
    pair, live, rules = pair_of(state), state.live_deployment, state.rules
    if pair is None or live is None or rules is None or state.phase is Phase.ALONE:
        raise Refused(
            f"there are no two colors whose answers could be compared: {state.summary()}",
            way_out="deploy a candidate: streambg deploy",
        )
    salt = pair.green if live.color == "blue" else pair.blue
    now = state.weight if state.phase is Phase.CANDIDATE else 0
    falls_back = rules.live_failed == "candidate"
    question = Question(pipeline.input.topic, live.color, now, weight, salt, rules.bucket_field, falls_back)
    return question, pair


def _interval(pair: Pair, logs: Mapping[Color, Predictions], rows: int) -> tuple[int, int] | None:
    """(after, upto] of the last `rows` source offsets that both deployments cover; None where one has none."""
    lows, highs = [], []
    for color, log in logs.items():
        first = first_of(log, pair.of(color))
        upto = _upto(log, pair.of(color))
        if first is None or upto is None:
            return None
        lows.append(first[1].after)
        highs.append(upto)
    after, upto = max(*lows, min(highs) - rows), min(highs)
    return (after, upto) if after < upto else None


def _upto(log: Predictions, deployment: int) -> int | None:
    for offset in range(log.high - 1, max(log.low, log.high - LAST_BATCHES) - 1, -1):
        head = log.head(offset)
        if head is not None and head.deployment == deployment:
            return head.upto
    return None


@dataclass(frozen=True, slots=True)
class _Source:
    """One partition's predictions. folded: the control log is folded to here (P12)."""

    pipeline: Pipeline
    log: LogReader
    logs: Mapping[Color, Predictions]
    partition: int
    folded: int


def _count(
    source: _Source, interval: tuple[int, int], pair: Pair, terms: Terms, question: Question
) -> tuple[Preview, int]:
    """The comparator's own join over the interval; what was counted, and up to where."""
    after, upto = interval
    pairing = Pairing(
        pair, terms, {color: _place(source.logs[color], pair.of(color), after) for color in COLORS}, after
    )
    for color in COLORS:
        side, topic = pairing.sides[color], source.pipeline.topics.predictions(color)
        side.control(source.folded)
        for messages in source.log.read(topic, source.partition, side.next_offset, source.logs[color].high):
            for message in messages:
                value = message.value() or b""
                side.offer(message.offset() or 0, len(value), _batch(value))
            if side.covered is not None and side.covered >= upto:
                break
    found = Preview()
    while (rows := pairing.take()) is not None:
        add(found, question, source.partition, rows, terms, terms.gate)
        pairing.retire(rows.high, pairing.compared, after)
    return found, pairing.compared


def _place(log: Predictions, deployment: int, after: int) -> Place:
    """Where the deployment's answers above `after` begin."""
    first = first_of(log, deployment)
    assert first is not None  # its interval was found
    return Place(covering(log, first[0], deployment, after), Coverage(deployment, after))


def _batch(value: bytes) -> Batch | None:
    try:
        return decode(value)
    except BadBatch:
        return None
