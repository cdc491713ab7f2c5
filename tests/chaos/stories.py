"""Y: the demo's stories, while comparator, controller and Redis are killed again and again: no decision changes.

The demo says whether the rollout ended as the story must. What it was decided on is computed again from the topics, in
this process, which nobody interrupts (verdicts_again.py): every verdict, bit for bit, and every decision.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from checkout import Verb, checkout, environment, pid_in
from endings import servers_end
from verdicts_again import differences
from waiting import until

from chaos.scenario import trial
from chaos.table import Result
from streambg.comparing.liveview import read_live_view
from streambg.config import load
from streambg.demo.stories import STORIES
from streambg.errors import Unreachable
from streambg.running.places import BOOTSTRAP
from streambg.servers import LocalRedis, detached

KILLED = ("comparator", "controller")
PIPELINE = "shuttle"
# Events and events a second. `bad` is found out within some 8,000 events: slow enough for it to be killed before that.
USUAL_EVENTS, USUAL_RATE = 50_000, 900
EVENTS, RATES = {"bad": 20_000}, {"bad": 800}
# A rollout's news as the demo tells it, while something is left to decide.
ACTIVE = re.compile(r"rollout \d+: (step \d+ of \d+ at \S+ %, running|watching)")
# From one kill to the next process, and to its first second of comparing: a new session of a static member included.
AGAIN_S, BACK_S = 30.0, 60.0
# Learning, servers, the longest story's plan, the audit, on a busy machine.
DEMO_S = 300.0
FIGURE = "ends as the story must; verdicts bit-equal to an uninterrupted reader's"


def killed(row: str, name: str, _bootstrap: str, count: int, folder: Path) -> Result:
    """One story; `count` rounds of kills in every stage of its rollout."""
    place = checkout(folder)
    home = place / ".streambg" / "demo"
    with LocalRedis(folder / "redis") as redis, servers_end(home, folder / "stop.log"):
        file = place / "pipeline.yaml"
        text, found = re.subn(r"(?m)^redis: \S+", f"redis: {redis.url}", file.read_text())
        assert found == 1
        file.write_text(text)
        length = ("--events", str(EVENTS.get(name, USUAL_EVENTS)), "--rate", str(RATES.get(name, USUAL_RATE)))
        verb = Verb(place, "demo", "--scenario", name, *length, "--keep", "--output", "json")
        try:
            kills = _kill_in_every_stage(verb, redis, count)
            code = verb.end(DEMO_S)
        finally:
            verb.close()
            (folder / "demo.log").write_text("\n".join(verb.said))
        assert verb.process.returncode in (0, 1), "\n".join(verb.said[-20:])
        told = verb.json()
        kafka = detached.read_state(home).get("kafka")
        assert kafka is not None
        looked, wrong = differences(load(file, environment(**{BOOTSTRAP: kafka.address})))
    return _result(row, name, kills, told, looked, wrong, code == 0)


def _kill_in_every_stage(verb: Verb, redis: LocalRedis, rounds: int) -> tuple[int, int, int]:
    """Until the demo has ended; how many were killed, and in how many of the stages."""
    killed, hit, stages = 0, set[int](), 0

    def news() -> bool:
        return verb.process.poll() is not None or len(_active(verb)) > stages

    while True:
        until(news, DEMO_S, "the rollout's next stage, or the demo's end")
        if len(_active(verb)) == stages:
            return killed, len(hit), stages
        stages = len(_active(verb))
        for _ in range(rounds):
            since_ms = int(time.time() * 1_000)
            until(partial(_compares, verb, redis, since_ms), BACK_S, "the comparator compares")
            if _over(verb):
                break
            hit.add(len(_active(verb)))
            for name in KILLED:
                _kill(verb, name)
            redis.kill()
            redis.start()
            killed += len(KILLED) + 1


def _active(verb: Verb) -> list[str]:
    return [line for line in verb.said if ACTIVE.search(line)]


def _kill(verb: Verb, name: str) -> None:
    """And wait until its supervisor has started it again."""
    started = [line for line in verb.said if re.search(rf"\b{name} started (again )?as pid", line)]
    with suppress(ProcessLookupError):  # the demo ends, and its processes with it
        os.kill(pid_in(started[-1]), signal.SIGKILL)
    until(lambda: _starts(verb, name) > len(started) or verb.process.poll() is not None, AGAIN_S, f"{name} again")


def _starts(verb: Verb, name: str) -> int:
    return sum(bool(re.search(rf"\b{name} started (again )?as pid", line)) for line in verb.said)


def _compares(verb: Verb, redis: LocalRedis, since_ms: int) -> bool:
    """Does the comparator that runs now show what it has compared? Or is it too late: has the demo settled all?"""
    if _over(verb):
        return True
    with suppress(Unreachable):
        view = read_live_view(redis.url, PIPELINE)
        return view is not None and view.at_ms > since_ms and view.summary.compared > 0
    return False


def _over(verb: Verb) -> bool:
    return verb.process.poll() is not None or any("the processes end" in line for line in verb.said)


def _result(
    row: str,
    name: str,
    kills: tuple[int, int, int],
    told: Mapping[str, Any],
    looked: int,
    wrong: list[str],
    ended: bool,
) -> Result:
    counts: Mapping[str, int] = told["audit"]["counts"]
    others = sum(number for kind, number in counts.items() if kind not in ("lost", "doubled", "out_of_order"))
    decided = [each for each in told["decisions"] if each["by"] == "rollout controller"]
    last = f"{decided[-1]['verb']} after {decided[-1]['events']:,} events" if decided else "nothing was decided"
    killed, hit, stages = kills
    said = [f"kills in {hit} of {stages} stages", f"{last}; {looked} verdicts and decisions, {len(wrong)} otherwise"]
    notes = [*said, *told["problems"], *wrong[:3]]
    return Result(
        row, _fault(name), killed, told["events"], counts["lost"], counts["doubled"], counts["out_of_order"],
        others + len(wrong), 0.0, None, FIGURE, ended and looked > 0 and hit >= stages - 1, "; ".join(notes),
    )  # fmt: skip


def _fault(name: str) -> str:
    return f"story `{name}`: kill -9 comparator, controller, Redis in every stage"


for number, story in enumerate(STORIES, 1):
    trial(f"Y{number}", _fault(story), counts=(1, 1, 3), home="its own")(partial(killed, f"Y{number}", story))
