"""A replay from request to report: pin, replay, sum up, write down; or go on where one was interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from streambg.config import Pipeline
from streambg.errors import ConfigError, StreambgError
from streambg.kafka.reading import LogReader
from streambg.models.contract import Row
from streambg.models.decoding import decoder
from streambg.models.registry import Registry
from streambg.records.rules import Rules
from streambg.replaying import html, pins
from streambg.replaying.backfill import check_topic
from streambg.replaying.document import PAGE_FILE, REPORT_FILE, TIMING_FILE, Latency, Report, Timing, encode
from streambg.replaying.examples import examples_of
from streambg.replaying.found import Example
from streambg.replaying.lane_rows import layout_of, write_rows
from streambg.replaying.place import Place, find, write_whole
from streambg.replaying.plan import Plan
from streambg.replaying.pool import Pool, share_out
from streambg.replaying.reading import Stopped, reader_config
from streambg.replaying.request import Request
from streambg.replaying.rows import check_file
from streambg.replaying.state import State
from streambg.replaying.summing import Found, report
from streambg.replaying.work import Worker


class Interrupted(Exception):
    """Somebody wanted it to end; its text says how to go on."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Source offsets passed, of how many."""

    id: str
    passed: int
    total: int


Told = Callable[[Progress], None]


def run(
    pipeline: Pipeline,
    request: Request,
    folder: Path,
    *,
    rows: Path | None = None,
    progress: Told | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Report:
    """Replay, and write `<folder>/<id>/`. Call it on the main thread where there are several workers.

    rows: a Parquet file for each event's row, of one model. stopping: asked between two windows; then Interrupted is
    raised, and `resume` goes on. Raises what `pins.plan` does, ModelError, Gap where events expire while they are read,
    StreambgError where the disk is full.
    """
    if rows is not None:
        _check_rows(rows, request)
    if request.publish_to is not None:
        if len(request.models) > 1:
            raise ConfigError(
                f"answers for {request.publish_to}: whose, of {len(request.models)} models?", way_out="name one model"
            )
        check_topic(pipeline, request.publish_to)
    plan = replace(pins.plan(pipeline, request), rows=None if rows is None else str(rows.absolute()))
    place = Place(folder, plan.identity.id)
    place.clear()
    place.write_plan(plan)
    return _replayed(pipeline, plan, place, folder, request.workers, request.rate, progress, stopping)


def _check_rows(rows: Path, request: Request) -> None:
    if len(request.models) > 1:
        raise ConfigError(
            f"rows are of one model; {len(request.models)} are named", way_out="replay them one after the other"
        )
    check_file(rows)


def resume(
    pipeline: Pipeline,
    prefix: str,
    folder: Path,
    *,
    workers: int = 1,
    rate: float | None = None,
    progress: Told | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Report:
    """Go on with the replay whose id begins so. Raises as `run`; ConfigError where there is none."""
    place = Place(folder, find(folder, prefix))
    plan = place.plan()
    pins.check_same(pipeline, plan)
    return _replayed(pipeline, plan, place, folder, workers, rate, progress, stopping)


def _replayed(
    pipeline: Pipeline,
    plan: Plan,
    place: Place,
    folder: Path,
    workers: int,
    rate: float | None,
    progress: Told | None,
    stopping: Callable[[], bool],
) -> Report:
    total = sum(lane.end - lane.begin for lane in plan.lanes)
    passed, started = 0, time.monotonic()

    def told(offsets: int) -> None:
        nonlocal passed
        passed += offsets
        if progress is not None:
            progress(Progress(place.id, passed, total))

    told(0)
    shares = share_out(plan.lanes, workers)
    try:
        if len(shares) == 1:
            Worker(pipeline, plan, place, rate, stopping, told).run(shares[0])
        else:
            Pool(folder, place.id, rate, stopping, told).run(shares)
    except (Stopped, KeyboardInterrupt) as error:
        raise Interrupted(
            f"Interrupted after {passed:,} of {total:,} source offsets; what was found is kept in {place.partial}.\n"
            f"Go on with:  streambg replay --resume {place.id[:12]}"
        ) from error
    states = [_done(place, lane.partition) for lane in plan.lanes]
    rules = Rules.from_text(pipeline.deciding_text())
    with LogReader(reader_config(pipeline), looks=True) as looks:
        shown = _examples(pipeline, plan, rules, states, looks)
    made = report(Found(plan, rules, states, shown))
    if plan.rows is not None:
        layout = layout_of(plan, rules, tuple(pipeline.input.carry))
        write_rows(Path(plan.rows), layout, place, [lane.partition for lane in plan.lanes])
    write_whole(place.path / PAGE_FILE, html.render(made).encode())
    write_whole(place.path / REPORT_FILE, encode(made))
    write_whole(place.path / TIMING_FILE, encode(_timing(plan, states, len(shares), time.monotonic() - started)))
    place.clear()
    return made


def _done(place: Place, partition: int) -> State:
    state = place.state(partition)
    if state is None or not state.done:
        raise StreambgError(
            f"what was found in partition {partition} is gone from {place.partial}: another replay with this id, or a "
            "person, has removed it",
            way_out="replay again, with nothing else at work there",
        )
    return state


def _examples(
    pipeline: Pipeline, plan: Plan, rules: Rules, states: Sequence[State], looks: LogReader
) -> list[tuple[Example, ...]]:
    decode = decoder(rules.decode, Registry(pipeline.registry).policy().python_allow)
    topic, names = pipeline.topics.input, [*pipeline.model.features, *pipeline.input.carry]

    def look(partition: int, offset: int) -> Row | str:
        record = looks.at(topic, partition, offset)
        if record is None or record.offset != offset:
            return "the event has expired meanwhile"
        return decode([record.value])[0]

    return [
        examples_of(states, number, rules.decision_threshold, topic, names, look, pipeline.masks())
        for number in range(len(plan.identity.models))
    ]


def _timing(plan: Plan, states: Sequence[State], workers: int, seconds: float) -> Timing:
    events = sum(state.events for state in states)
    spent = [
        sum((state.models[number].spent for state in states[1:]), states[0].models[number].spent)
        for number in range(len(plan.identity.models))
    ]
    latencies = tuple(
        Latency(
            model.ref,
            each.us / max(1, each.events),
            each.histogram.quantile(0.5) or 0.0,
            each.histogram.quantile(0.99) or 0.0,
        )
        for model, each in zip(plan.identity.models, spent, strict=True)
    )
    whole = max(seconds, sum(state.seconds for state in states) / workers)
    return Timing(plan.identity.id, plan.started_ms, whole, events, events / whole, workers, latencies)
