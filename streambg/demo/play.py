"""Does the steps of the timeline, each when the stream has come to it, and waits for what it must show."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from streambg.config import Pipeline
from streambg.control import verbs
from streambg.control.sender import ControlClient, Sent
from streambg.control.verbs import Said
from streambg.demo.producing import Sender
from streambg.demo.result import Done
from streambg.demo.screen import Screen
from streambg.demo.timeline import Do, Step, due, may_send, steps
from streambg.demo.watching import Watcher
from streambg.errors import Refused, StreambgError
from streambg.records.source import Color
from streambg.running.supervisor import Seen, Supervisor

ACTOR = "demo"
PUBLISHER = "publisher"
LOOK_S = 0.01
# A candidate reads from where it was deployed; on a slow machine its scorer first has to load.
READY_S = 60.0
# A cutover is the publisher's next transaction (50 ms); after a kill, its session has to start anew (1-7 s).
EFFECT_S = 30.0


@dataclass(frozen=True, slots=True)
class Cast:
    """Everything that plays a part. supervisor: None where the processes are not ours (`--attach`)."""

    pipeline: Pipeline
    models: Mapping[Color, str]
    control: ControlClient
    supervisor: Supervisor | None
    sender: Sender
    watcher: Watcher
    screen: Screen
    partitions: int
    in_force: list[str]

    def healthy(self) -> None:
        """Raises what went wrong in any of the threads, or says which process is gone for good."""
        for thread in (self.sender, self.watcher):
            if thread.failure is not None:
                raise thread.failure
        for name, seen in self.lives().items():
            if seen.left:
                raise StreambgError(f"{name} ended with code {seen.lives[-1].code}", way_out=seen.left)

    def lives(self) -> Mapping[str, Seen]:
        """What is known of our processes, by name."""
        return self.supervisor.seen() if self.supervisor is not None else {}

    def start_the_rest(self) -> None:
        """What no event waits for is started once events flow."""
        if self.supervisor is not None:
            self.supervisor.release()

    def until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait for it; False after `timeout` seconds. Raises as `healthy`."""
        deadline = time.monotonic() + timeout
        while not condition():
            self.healthy()
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_S)
        return True


def play(cast: Cast) -> list[Done]:
    """All steps. Raises StreambgError where one cannot be done."""
    done: list[Done] = []
    script = steps(kills=cast.supervisor is not None)
    for number, step in enumerate(script):
        place = due(step, cast.sender.events)
        while not cast.until(lambda place=place: cast.sender.sent >= place, 1.0):  # type: ignore[misc] # mypy cannot infer a lambda with a default
            pass
        cast.screen.note(f"{step.words}: {step.why}", "bold")
        done.append(_kill(cast, step) if step.do is Do.KILL else _command(cast, step, number == 0))
        cast.sender.allow(may_send(number + 1, cast.sender.events, script))
        if number == 0:
            cast.sender.start()
        done[-1] = _with_effect(cast, done[-1])
        if number == 0:
            cast.start_the_rest()
    return done


def _command(cast: Cast, step: Step, first: bool) -> Done:
    if step.color is not None:
        cast.models.get(step.color)  # it is learnt before the command's time begins
    at, began = cast.sender.sent, time.monotonic()
    sent = _accepted(cast, step, first)
    cast.in_force[0] = sent.state.summary()
    return Done(
        step,
        at,
        round(time.monotonic() - began, 3),
        epoch=sent.epoch,
        summary=sent.state.summary(),
        appended_ms=sent.appended_ms,
    )


def _accepted(cast: Cast, step: Step, first: bool) -> Sent:
    deadline, told = time.monotonic() + READY_S, False
    while True:
        try:
            return _send(cast, step, first).or_raise()
        except Refused as refused:
            if time.monotonic() > deadline:
                raise
            if not told:
                first_reason = refused.what.partition(";")[0]
                cast.screen.note(f"refused: {first_reason}; asked again, the stream waits at its next step", "yellow")
            told = True
        cast.healthy()


def _send(cast: Cast, step: Step, first: bool) -> Sent:
    said, control, pipeline = Said(ACTOR, step.why), cast.control, cast.pipeline
    match step.do:
        case Do.DEPLOY:
            assert step.color is not None
            start: verbs.Start | None = "earliest" if first else None
            return verbs.deploy(control, pipeline, step.color, cast.models[step.color], said, start=start)
        case Do.SHIFT:
            return verbs.shift(control, pipeline, step.weight, said)
        case Do.PROMOTE:
            return verbs.promote(control, pipeline, said)
        case _:
            return verbs.plain(control, "rollback", said)


def _kill(cast: Cast, step: Step) -> Done:
    at, killed = cast.sender.sent, time.time()
    assert cast.supervisor is not None, "timeline.steps leaves the kill out"
    lives = len(cast.lives()[PUBLISHER].lives)
    cast.supervisor.send(PUBLISHER, signal.SIGKILL)
    if not cast.until(lambda: len(cast.lives()[PUBLISHER].lives) > lives, EFFECT_S):
        raise StreambgError(f"the publisher was not started again within {EFFECT_S:g} s")
    life = cast.lives()[PUBLISHER].lives[lives]
    began = time.time() - (time.monotonic() - life.began)
    # what the dead one committed may still arrive; what was written after this moment is the new one's
    cast.watcher.look_for_after(int(began * 1_000))
    return Done(step, at, 0.0, appended_ms=int(killed * 1_000), restart_s=round(began - killed, 3))


def _with_effect(cast: Cast, done: Done) -> Done:
    """Wait until a reader has seen it. A step without an effect is reported, not raised: the audit still tells more."""

    def seen() -> int | None:
        return cast.watcher.seen_after() if done.epoch is None else cast.watcher.found().epochs.get(done.epoch)

    cast.until(lambda: seen() is not None, EFFECT_S)
    when = seen()
    if when is None:
        cast.screen.note(f"{done.step.words}: nothing of it was seen within {EFFECT_S:g} s", "bold red")
        return done
    effect = round((when - done.appended_ms) / 1_000, 3)
    what = "publishes again" if done.epoch is None else f"epoch {done.epoch} seen in the output"
    cast.screen.note(f"{done.step.words}: {what} after {effect:.3f} s")
    return replace(done, effect_s=effect)
