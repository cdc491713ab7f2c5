"""The demo from start to end: servers, topics, models, processes, the stream with its steps, and the reckoning."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from streambg.config import Pipeline, load
from streambg.control import verbs
from streambg.demo import attached, places, reckoning
from streambg.demo.data import FEATURES, MACHINES, TRAINING_ROWS, Row, Stream, load_rows
from streambg.demo.deciding import CANDIDATE, Told, play_story, tell
from streambg.demo.labelling import Labeller
from streambg.demo.live import Live
from streambg.demo.measure import Sampler
from streambg.demo.places import Kept
from streambg.demo.play import Cast, play
from streambg.demo.producing import Sender
from streambg.demo.result import Done, Result
from streambg.demo.screen import Screen
from streambg.demo.stories import Learner, Story
from streambg.demo.timeline import may_send, steps
from streambg.demo.train import LEARNERS, Models, Trained, learn, require_pickles
from streambg.demo.watching import Watcher
from streambg.errors import ConfigError
from streambg.kafka import profiles
from streambg.records.source import Color
from streambg.running import plan
from streambg.running.lines import readable
from streambg.running.places import BOOTSTRAP, REDIS, environment
from streambg.running.supervisor import Supervisor
from streambg.servers import Choice, Servers
from streambg.servers.ports import free_port
from streambg.topicplan import ensure

LOG = "processes.log"
OURS = "use the pipeline.yaml of streambg's repository"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for; `file` is the pipeline's, absolute."""

    file: Path
    events: int
    rate: int
    partitions: int
    keep: bool
    servers: Choice
    attach: bool = False
    story: Story | None = None

    @property
    def folder(self) -> Path:
        return self.file.parent / places.FOLDER


def run(wanted: Wanted, screen: Screen, environ: Mapping[str, str]) -> tuple[Result | Told, Kept | None]:
    """Play it, or the story that was asked for.

    Owned servers are gone afterwards, kept ones only where this is left by an error.

    Raises StreambgError where it cannot be played to its end; what came of it otherwise is in the result.
    """
    began = time.time()
    if wanted.attach:
        return _attached(wanted, screen, environ, began), None
    plan.require_consumers(wanted.file)
    usual = load(wanted.file, {name: value for name, value in environ.items() if name not in (BOOTSTRAP, REDIS)})
    _check_fits(usual)
    if usual.kafka.client:
        raise ConfigError(f"{usual.file} has kafka.client settings; the demo brings its own broker", way_out=OURS)
    require_pickles(usual.registry)
    wanted.folder.mkdir(parents=True, exist_ok=True)
    _say_whose_data(screen)
    # learning needs a processor while the servers' start mostly waits
    with ThreadPoolExecutor(1) as pool:
        learning = pool.submit(_learn, wanted.story)
        started = places.bring(wanted.file.parent, wanted.servers, wanted.keep, screen.note)
        try:
            rows, live = learning.result()
            result = _played(wanted, screen, environ, started, rows, live, began)
            kept = None
            if wanted.keep:
                same = (started.bootstrap, started.redis_url) == (usual.kafka.bootstrap, usual.redis)
                kept = places.write_down(wanted.file.parent, started, same)
        except BaseException:
            started.stop()
            raise
        if kept is None:
            started.stop()
        return result, kept


def _attached(wanted: Wanted, screen: Screen, environ: Mapping[str, str], began: float) -> Result | Told:
    """Only the stream, the commands and the reckoning; servers and processes are those that run."""
    pipeline = load(wanted.file, environ)
    _check_fits(pipeline)
    require_pickles(pipeline.registry)
    as_they_are = replace(wanted, partitions=attached.require_empty(pipeline))
    _say_whose_data(screen)
    rows, live = _learn()
    return _played(as_they_are, screen, environ, attached.servers(pipeline), rows, live, began)


def _check_fits(pipeline: Pipeline) -> None:
    """Raises ConfigError where the pipeline file is of another kind of events."""
    lacking = [name for name, kind in pipeline.model.features.items() if name not in FEATURES or kind != "number"]
    if lacking or pipeline.input.decode is not None or len(pipeline.model.outputs) != 1:
        raise ConfigError(
            f"{pipeline.file} does not fit the demo's events: JSON with the numbers {', '.join(FEATURES)}; one output",
            way_out=OURS,
        )


def _say_whose_data(screen: Screen) -> None:
    screen.note(
        f"the Shuttle data of river: real sensor values, looped; the {MACHINES} machines and the event ids are made up"
    )


def _learners(story: Story | None) -> tuple[Learner, Learner]:
    return LEARNERS if story is None else (story.live, story.candidate)


def _learn(story: Story | None = None) -> tuple[list[Row], Trained]:
    """The rows, and what goes live."""
    rows = load_rows()
    return rows, learn(_learners(story)[0], rows)


def _played(
    wanted: Wanted,
    screen: Screen,
    environ: Mapping[str, str],
    started: Servers,
    rows: list[Row],
    live_model: Trained,
    began: float,
) -> Result | Told:
    surroundings = environment(started, environ)
    pipeline = load(wanted.file, surroundings)
    if pipeline.kafka.bootstrap != started.bootstrap:
        raise ConfigError(
            f"{wanted.file} names the broker {pipeline.kafka.bootstrap}; the demo brings its own",
            way_out="write ${STREAMBG_BOOTSTRAP:-" + pipeline.kafka.bootstrap + "}",
        )
    screen.note(f"Kafka at {started.bootstrap}, Redis at {pipeline.redis}")
    ensure(pipeline, wanted.partitions)
    story = wanted.story
    with ExitStack() as stack:
        supervisor = None if wanted.attach else _processes(wanted, screen, surroundings, stack)
        models = Models(pipeline.registry, rows, _learners(story), live_model, partial(_say_which, screen))
        shift_from = None if story is None or story.shift_at is None else int(story.shift_at * wanted.events)
        stream = Stream(rows, wanted.events, shift_from)
        cast = _cast(wanted, pipeline, models, supervisor, screen, stream, stack)
        live = Live(cast)
        sampler = Sampler(lambda: _pids(cast), live.look)
        sampler.start()
        stack.callback(sampler.stop)
        stack.callback(screen.close)
        screen.show(live.numbers)
        labeller = None if story is None else _labeller(cast, stream, stack)
        steps: list[Done] = []
        if story is not None and labeller is not None:
            play_story(cast, story, labeller)
        else:
            steps = play(cast)
        problems = reckoning.settle(cast, live)
        screen.close()
        sampler.stop()
        screen.note("; ".join(problems) or "everything is settled" + ("" if wanted.attach else "; the processes end"))
        if labeller is not None:
            labeller.stop()
        if supervisor is not None:
            supervisor.stop()
        cast.watcher.stop()
        if story is not None and labeller is not None:
            return tell(cast, story, labeller, problems)
        return reckoning.reckon(cast, live, steps, sampler.cpu(), problems, (wanted.rate, began))


def _labeller(cast: Cast, stream: Stream, stack: ExitStack) -> Labeller:
    """Raises ConfigError where the pipeline file declares no labels."""
    labels = cast.pipeline.labels
    if labels is None:
        raise ConfigError(f"{cast.pipeline.file} declares no labels; a story is decided by them", way_out=OURS)

    def label(number: int) -> tuple[bytes, bytes] | None:
        return stream.label(number, labels.key, labels.value)

    writing = profiles.idempotent_producer(cast.pipeline, "streambg.demo.labeller")
    labeller = Labeller(writing, labels.topic, lambda: cast.sender.sent, label)
    stack.callback(labeller.stop)
    return labeller


def _say_which(screen: Screen, color: Color, model: Trained, ref: str) -> None:
    screen.note(
        f"{color}: {ref}, a {model.what}, learnt from {TRAINING_ROWS:,} rows "
        f"({model.accuracy:.1%} right while learning)"
    )


def _processes(wanted: Wanted, screen: Screen, surroundings: Mapping[str, str], stack: ExitStack) -> Supervisor:
    log = stack.enter_context((wanted.folder / LOG).open("w", encoding="utf-8"))

    def heard(name: str, line: str) -> None:
        level, text = readable(line)
        log.write(f"{name} | {text}\n")
        if level in ("error", "critical"):
            screen.note(f"{name}: {text}", "red")

    def said(name: str, text: str, level: str) -> None:
        log.write(f"{name} | {text}\n")
        log.flush()
        screen.note(f"{name} {text}", "dim" if level == "info" else "yellow")

    # nothing is deployed in green before events flow
    processes = [
        replace(process, late=process.late or process.name == CANDIDATE)
        for process in plan.processes(1, 1, [free_port() for _ in plan.names(1, 1)])
    ]
    supervisor = Supervisor(processes, wanted.file, surroundings, heard, said, hold=True)
    supervisor.start()
    stack.callback(supervisor.stop)
    return supervisor


def _cast(
    wanted: Wanted,
    pipeline: Pipeline,
    models: Mapping[Color, str],
    supervisor: Supervisor | None,
    screen: Screen,
    stream: Stream,
    stack: ExitStack,
) -> Cast:
    watcher = Watcher(
        profiles.reader(pipeline, "streambg.demo.watcher", follow=True),
        pipeline.topics.output,
        pipeline.topics.dead_letters,
        wanted.partitions,
    )
    watcher.start()
    stack.callback(watcher.stop)
    writing = profiles.idempotent_producer(
        pipeline, "streambg.demo.sender", max_message_bytes=profiles.KAFKA_MESSAGE_BYTES
    )
    gate = may_send(0, wanted.events, steps(kills=supervisor is not None))
    sender = Sender(writing, pipeline.topics.input, stream, wanted.rate, gate)
    stack.callback(sender.stop)
    control = stack.enter_context(verbs.client(pipeline))
    return Cast(pipeline, models, control, supervisor, sender, watcher, screen, wanted.partitions, ["nothing yet"])


def _pids(cast: Cast) -> dict[str, int]:
    return {name: seen.running.pid for name, seen in cast.lives().items() if seen.running}
