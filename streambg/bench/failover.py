"""Row (k): how long nothing is published at a start, after a kill, and until a second member has taken over."""

from __future__ import annotations

import shutil
import sys
import time

from streambg.bench.live import PARTITIONS, Live
from streambg.bench.result import Figures, quantile
from streambg.bench.stage import Stage, consumers_home
from streambg.bench.workers import Worker
from streambg.errors import StreambgError
from streambg.running.places import BOOTSTRAP, REDIS

# No Python process publishes this soon after its start (importing alone takes longer); what is seen before was
# committed by the one that was killed and came late to the reader.
STRAY_S = 0.3
BACK_S = 60.0
# Between two kills: a session that has just begun would be another case.
CALM_S = 2.0
DEMO_S = 120.0
LOOK_S = 0.01
# What the demo says when a reader has seen the first record of its first deployment.
FIRST = "seen in the output"


def demo_start(stage: Stage, name: str) -> float:
    """Seconds from starting `streambg demo` to the first published event that a reader sees."""
    folder = stage.folder / name
    folder.mkdir()
    home = consumers_home()
    shutil.copy(home / "pipeline.yaml", folder)
    for part in ("topics", "consumers"):
        shutil.copytree(home / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {key: value for key, value in stage.environment.items() if key not in (BOOTSTRAP, REDIS)}
    argv = [sys.executable, "-m", "streambg", "demo", "--servers", "local", "--output", "json"]
    began = time.monotonic()
    with Worker(argv, folder, environment, folder / "demo.log", None) as demo:
        while FIRST not in demo.log.read_text(errors="replace"):
            demo.alive()
            if time.monotonic() - began > DEMO_S:
                raise StreambgError(f"the demo published nothing within {DEMO_S:g} s", way_out=demo.tail())
            time.sleep(LOOK_S)
        return time.monotonic() - began


def restart(running: Live, times: int) -> Figures:
    """(k2) kill -9 of the only publisher, and another one started at once."""
    name = "publisher --slot 0"
    gaps = []
    for _ in range(times):
        time.sleep(CALM_S)
        killed = time.time()
        running.workers[name].kill()
        running.start(*name.split())
        running.until(lambda at=killed + STRAY_S: bool(running.sightings.after(at)), BACK_S, "output after a kill")  # type: ignore[misc] # mypy cannot infer a lambda with a default
        gaps.append(min(running.sightings.after(killed + STRAY_S).values()) - killed)
    return seconds(gaps)


def takeover(running: Live, times: int) -> Figures:
    """(k3) Two publishers; one is killed and stays away until the other publishes every partition."""
    first = "publisher --slot 0"
    gaps = []
    for _ in range(times):
        running.until(lambda: _shared(running), BACK_S, "both publishers have partitions")
        time.sleep(CALM_S)
        killed = time.time()
        running.workers.pop(first).kill()
        running.until(
            lambda at=killed + STRAY_S: len(running.sightings.after(at)) == PARTITIONS,  # type: ignore[misc] # as above
            BACK_S,
            "output of every partition after a kill",
        )
        gaps.append(max(running.sightings.after(killed + STRAY_S).values()) - killed)
        running.start(*first.split())
    return seconds(gaps)


def _shared(running: Live) -> bool:
    shares = [
        len(worker.health().get("partitions", {})) for name, worker in running.workers.items() if "publisher" in name
    ]
    return sorted(shares) == [PARTITIONS // 2, PARTITIONS // 2]


def seconds(gaps: list[float]) -> Figures:
    """As figures."""
    return {"p50_s": quantile(gaps, 0.5), "p95_s": quantile(gaps, 0.95), "count": float(len(gaps))}
