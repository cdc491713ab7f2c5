"""What is said at the end: is everything settled, are the dead letters the planted ones, the costs, the audit."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from streambg import audit
from streambg.audit import Progress
from streambg.demo import measure
from streambg.demo.live import Live
from streambg.demo.play import Cast
from streambg.demo.producing import Planted
from streambg.demo.result import Done, Result
from streambg.kafka import profiles
from streambg.records.outcome import DeadLetter
from streambg.records.source import COLORS

# From the last event to its outcome: 0.1 s when all is well, a publisher's new session (7 s) when not.
SETTLED_S = 60.0
# The comparator writes its view every second.
COMPARED_S = 20.0
# What a busy machine may be late with sending, beyond what the rate needs.
SENT_S = 60.0


def settle(cast: Cast, live: Live) -> list[str]:
    """Wait until every event has its outcome and is compared; what is missing, in words."""
    sender = cast.sender
    if not cast.until(lambda: not sender.is_alive(), sender.left_s + SENT_S):
        return [f"{sender.events - sender.sent} events were not sent"]
    cast.healthy()
    ends = sender.ends
    cast.until(lambda: not behind(ends, cast.watcher.found().settled), SETTLED_S)
    problems = [
        f"partition {partition}: settled up to {settled}, its last event is {end - 1}"
        for partition, settled, end in behind(ends, cast.watcher.found().settled)
    ]
    if not problems and not cast.until(lambda: live.compared_up_to(ends), COMPARED_S):
        problems.append(f"the comparator has not compared every event {COMPARED_S:g} s after the last outcome")
    return problems


def behind(ends: Mapping[int, int], settled: Mapping[int, int]) -> list[tuple[int, int, int]]:
    """(partition, settled, end) of each partition whose last event has no outcome yet."""
    return [
        (partition, settled.get(partition, -1), end)
        for partition, end in sorted(ends.items())
        if settled.get(partition, -1) < end - 1
    ]


def letters_problems(planted: Collection[Planted], letters: Sequence[DeadLetter]) -> list[str]:
    """The dead letters must be exactly the events that nobody can answer, each once."""
    owed = {one.source: one.kind for one in planted if not one.kind.answerable}
    found = [letter.source for letter in letters]
    problems = [f"{source} ({kind}) has no dead letter" for source, kind in owed.items() if source not in found]
    problems += [f"{source} has a dead letter and was not planted" for source in found if source not in owed]
    if len(found) != len(set(found)):
        problems.append(f"{len(found)} dead letters for {len(set(found))} events")
    return problems


def reckon(
    cast: Cast,
    live: Live,
    steps: Sequence[Done],
    cpu_s: Mapping[str, float],
    problems: Sequence[str],
    asked: tuple[int, float],
) -> Result:
    """Count and judge; the processes have ended. `asked`: the rate, and when (time.time) it all began."""
    rate, began = asked
    pipeline, sender, found = cast.pipeline, cast.sender, cast.watcher.found()
    partitions = cast.partitions
    report = audited(cast)
    all_problems = [*problems, *letters_problems(sender.planted, found.letters)]
    all_problems += [f"{done.step.words} had no effect that was seen" for done in steps if done.effect_s is None]
    if report["verdict"] != "ok":
        all_problems.append(f"the audit says {report['verdict']}: {report['reason']}")
    if report["events"] != sender.sent:
        all_problems.append(f"the audit found {report['events']} events, {sender.sent} were sent")
    reading = profiles.reader(pipeline, "streambg.demo.reckoning")
    firsts = measure.cutovers(reading, pipeline.topics.cutovers)
    summary = live.view.summary if live.view else None
    first = found.first_seen_ms
    return Result(
        events=sender.sent,
        rate=rate,
        partitions=partitions,
        seconds_to_first_published=None if first is None else round(first / 1_000 - began, 2),
        seconds=round(time.time() - began, 2),
        stream_seconds=round(sender.lasted_s, 2),
        stream_held_s=round(sender.held_s, 2),
        published=found.published,
        letters=found.letters,
        planted={str(one.source): str(one.kind) for one in sender.planted},
        owed_letters=sum(not one.kind.answerable for one in sender.planted),
        agreement=summary.agreement if summary else None,
        compared=summary.compared if summary else 0,
        flips=summary.flips if summary else 0,
        steps=[replace(done, cutovers=firsts.get(done.epoch)) if done.epoch is not None else done for done in steps],
        cpu_s={name: round(seconds, 2) for name, seconds in cpu_s.items()},
        volumes={color: measure.volume(reading, pipeline.topics.predictions(color), partitions) for color in COLORS},
        restarts={name: len(seen.lives) - 1 for name, seen in cast.lives().items()},
        models={str(color): model for color, model in cast.models.items()},
        audit=report,
        problems=all_problems,
    )


def audited(cast: Cast) -> dict[str, Any]:
    """The audit's report, as JSON has it, without the partitions."""
    cast.screen.note("the audit reads every event, prediction and outcome, and judges with code of its own", "bold")
    next_word = time.monotonic() + 5.0

    def progress(now: Progress) -> None:
        nonlocal next_word
        if time.monotonic() > next_word:
            next_word += 5.0
            cast.screen.note(f"audit: {now.passed:,} of {now.total:,} events", "dim")

    report: dict[str, Any] = json.loads(audit.run(cast.pipeline, progress=progress).to_json())
    del report["partitions"]
    return report
