"""Several workers of one replay: processes over partitions, that end with this one, and are told to stop by SIGTERM."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from streambg import errors
from streambg.errors import StreambgError
from streambg.replaying.plan import Lane
from streambg.replaying.reading import LOOK_S, Stopped
from streambg.running import tether

MODULE = "streambg.replaying.worker"
# A worker looks between two windows (a tenth of a second) or while it waits for the broker (45 s at the most).
STOP_S = 60.0
# What a worker ends with that was told to stop and has written down what it found.
STOPPED = 130


def share_out(lanes: Sequence[Lane], workers: int) -> list[list[int]]:
    """Partitions by worker, the largest first to whoever has least: at most as many workers as there are partitions."""
    shares: list[list[int]] = [[] for _ in range(max(1, min(workers, len(lanes))))]
    loads = [0] * len(shares)
    for lane in sorted(lanes, key=lambda lane: (lane.begin - lane.end, lane.partition)):
        least = loads.index(min(loads))
        shares[least].append(lane.partition)
        loads[least] += lane.end - lane.begin
    return shares


class Pool:
    """Run it on the main thread: its children are tied to the thread that started them."""

    def __init__(
        self, folder: Path, replay: str, rate: float | None, stopping: Callable[[], bool], told: Callable[[int], None]
    ) -> None:
        self._options = [str(folder), replay]
        self._rate = rate
        self._stopping = stopping
        self._told = told
        self._said: queue.Queue[tuple[int, dict[str, Any] | None]] = queue.Queue()

    def run(self, shares: Sequence[Sequence[int]]) -> None:
        """Until all have ended. Raises Stopped; what a worker could not do, as if it had been done here."""
        rate = [] if self._rate is None else ["--rate", str(self._rate / len(shares))]
        children = [self._start([*self._options, ",".join(map(str, share)), *rate]) for share in shares]
        try:
            self._listen(children)
        finally:
            for child in children:
                _end(child)

    def _start(self, options: Sequence[str]) -> subprocess.Popen[bytes]:
        # a team's modules are found where this process finds them
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return subprocess.Popen(
            [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), sys.executable, "-m", MODULE, *options],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is this process's business
        )

    def _listen(self, children: Sequence[subprocess.Popen[bytes]]) -> None:
        for number, child in enumerate(children):
            threading.Thread(target=self._hear, args=(number, child), daemon=True).start()
        left, asked, failure = set(range(len(children))), False, None
        while left:
            if (self._stopping() or failure is not None) and not asked:
                asked = True
                for child in children:
                    child.terminate()
            with suppress(queue.Empty):
                number, said = self._said.get(timeout=LOOK_S)
                if said is None:
                    left.discard(number)
                    code = children[number].wait(STOP_S)
                    # one that was only starting ends without a word, and has nothing to write down
                    if code not in ((0, STOPPED, -signal.SIGTERM) if asked else (0,)) and failure is None:
                        failure = StreambgError(f"a worker of the replay ended with code {code}", way_out="--resume it")
                elif "passed" in said:
                    self._told(said["passed"])
                else:
                    failure = failure or _error(said)
        if failure is not None:
            raise failure
        if asked:
            raise Stopped

    def _hear(self, number: int, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        for line in child.stdout:
            with suppress(ValueError):  # a team's code may print
                said = json.loads(line)
                if isinstance(said, dict):
                    self._said.put((number, said))
        self._said.put((number, None))


def _error(said: dict[str, Any]) -> StreambgError:
    kind = getattr(errors, str(said.get("error")), StreambgError)
    known = kind if isinstance(kind, type) and issubclass(kind, StreambgError) else StreambgError
    return known(str(said.get("what", said)), way_out=str(said.get("way_out", "")))


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.kill()
    child.wait()
    if child.stdout is not None:
        child.stdout.close()
