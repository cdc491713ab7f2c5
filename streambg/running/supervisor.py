"""Runs a pipeline's processes as children: hears their lines, starts again what ends by itself, ends them in order."""

from __future__ import annotations

import os
import selectors
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Literal

from streambg.errors import StreambgError
from streambg.running.child import Child
from streambg.running.plan import Process
from streambg.running.restarts import LONGEST_DELAY, Leave, after_end, words

# From SIGTERM to SIGKILL: a process that ends in order commits and leaves its group, 0.2-1.5 s measured.
GRACE = 10.0
# How long the late ones wait at most. The others come up in 2 s where the processors are theirs (0.7 s of a processor's
# time each); the late ones would take 2.5 s of it meanwhile.
HOLD = 10.0
# How often children are looked at that neither write nor close their pipe. The usual end closes the pipe and is
# seen at once.
TICK = 0.1
# A child that is told to end before it listens for SIGTERM dies of it; nothing was begun then.
IN_ORDER = (0, -signal.SIGTERM)
# The thread's own end after the last child's: it has nothing left to do.
LAST = 5.0


@dataclass(frozen=True, slots=True)
class Life:
    """One start of a process: `ended` and `code` are None while it lives. Times are of `time.monotonic`."""

    pid: int
    began: float
    ended: float | None = None
    code: int | None = None
    wanted: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a process: its lives in order, and why it is not started again, where that is so."""

    process: Process
    lives: tuple[Life, ...] = ()
    left: str = ""

    @property
    def running(self) -> Life | None:
        return self.lives[-1] if self.lives and self.lives[-1].ended is None else None


@dataclass(slots=True)
class _Post:
    """One process in the supervisor's hands."""

    seen: Seen
    child: Child | None = None
    due: float | None = 0.0
    short_lives: int = 0
    heard: bool = False  # it has said a line


class Supervisor:
    """Its thread starts every child and outlives them all; other threads only ask. One use: start, stop.

    The late ones are started when each of the others has said a line, or, where `hold`, when `release` says so.
    `on_line(name, line)` and `say(name, text, level)` are called on that thread. What they raise ends everything.
    """

    def __init__(
        self,
        processes: Sequence[Process],
        pipeline_file: Path,
        environment: Mapping[str, str],
        on_line: Callable[[str, str], None],
        say: Callable[[str, str, str], None],
        *,
        hold: bool = False,
    ) -> None:
        self._file = pipeline_file.absolute()
        # lines as they are written, not as a buffer fills
        self._environment = {**environment, "PYTHONUNBUFFERED": "1"}
        self._on_line, self._say = on_line, say
        self._held = hold
        late = time.monotonic() + HOLD
        self._posts = {process.name: _Post(Seen(process), due=late if process.late else 0.0) for process in processes}
        self._snapshot: dict[str, Seen] = {name: post.seen for name, post in self._posts.items()}
        self._asked: SimpleQueue[tuple[str, signal.Signals] | Literal["release"] | None] = SimpleQueue()
        self._bell: tuple[int, ...] = os.pipe()  # wakes the thread; empty once `stop` is through
        self._bell_lock = threading.RLock()  # reentrant: a signal handler may ring while this thread rings
        self._selector = selectors.DefaultSelector()
        self._kill_at: float | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start them all, the late ones behind the others; returns at once."""
        self._thread.start()

    def seen(self) -> Mapping[str, Seen]:
        """What is known now, by name."""
        return dict(self._snapshot)

    def send(self, name: str, number: signal.Signals) -> None:
        """A signal to the process that runs under this name now; an end that follows counts as not asked for."""
        self._ask((name, number))

    def release(self) -> None:
        """Start the late ones, where they were not started yet."""
        self._ask("release")

    def ended(self, timeout: float = 0.0) -> bool:
        """Have all ended for good? Waits up to `timeout` seconds. Raises what ended the supervisor itself."""
        self._thread.join(timeout)
        if self._thread.is_alive():
            return False  # also while it ends the children behind a failure of its own
        if self._failure is not None:
            raise StreambgError(f"the supervisor failed: {self._failure!r}") from self._failure
        return True

    def stop(self) -> Mapping[str, Seen]:
        """SIGTERM to each, after GRACE seconds SIGKILL; a second call meanwhile kills at once. All have ended then."""
        self._ask(None)
        if not self.ended(GRACE + LAST):
            raise StreambgError("the children's supervisor does not end", way_out="end this process; they end with it")
        with self._bell_lock:
            for end in self._bell:
                os.close(end)
            self._bell = ()
        return self.seen()

    def kill(self) -> None:
        """SIGKILL to each now, for a person who does not wait. For signal handlers, too."""
        self._ask(None)
        self._ask(None)

    def _ask(self, what: tuple[str, signal.Signals] | Literal["release"] | None) -> None:
        self._asked.put(what)
        with self._bell_lock:
            if self._bell:
                os.write(self._bell[1], b"!")

    # -- the thread

    def _run(self) -> None:
        self._selector.register(self._bell[0], selectors.EVENT_READ)
        try:
            while self._someone():
                self._obey()
                self._start_due()
                self._listen()
                self._bury()
        except BaseException as error:
            self._failure = error
        finally:
            for post in self._posts.values():
                if post.child is not None:
                    post.child.signal(signal.SIGKILL)
                    self._ended(post, post.child, wait=True)
            self._selector.close()

    def _obey(self) -> None:
        while not self._asked.empty():
            what = self._asked.get()
            if what == "release":
                self._release()
                continue
            if what is not None:
                post = self._posts[what[0]]
                if post.child is not None:
                    post.child.signal(what[1])
                continue
            now = time.monotonic()
            first = self._kill_at is None
            self._kill_at = now + GRACE if first else now
            for post in self._posts.values():
                post.due = None
                if post.child is not None and first:
                    post.child.signal(signal.SIGTERM)
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            for post in self._posts.values():
                if post.child is not None:
                    post.child.signal(signal.SIGKILL)

    def _someone(self) -> bool:
        return any(post.child is not None or post.due is not None for post in self._posts.values())

    def _start_due(self) -> None:
        for name, post in self._posts.items():
            if post.due is None or post.due > time.monotonic():
                continue
            try:
                child = Child(post.seen.process.argv(self._file), self._file.parent, self._environment)
            except OSError as error:  # the machine is out of processes or files; that passes
                post.due = time.monotonic() + LONGEST_DELAY
                self._say(name, f"cannot be started: {error}; tried again in {LONGEST_DELAY:g} s", "error")
                continue
            post.child, post.due = child, None
            self._selector.register(child, selectors.EVENT_READ, post)
            self._see(post, replace(post.seen, lives=(*post.seen.lives, Life(child.pid, time.monotonic()))))
            again = "again " if len(post.seen.lives) > 1 else ""
            self._say(name, f"started {again}as pid {child.pid}", "info")

    def _listen(self) -> None:
        dues = [post.due for post in self._posts.values() if post.due is not None]
        timeout = max(0.0, min([TICK, *(due - time.monotonic() for due in dues)]))
        for key, _ in self._selector.select(timeout):
            if key.data is None:
                os.read(key.fd, 4096)
                continue
            post: _Post = key.data
            if post.child is not None:
                self._pass_on(post, post.child.lines())
                if post.child.at_end:
                    self._selector.unregister(post.child)

    def _pass_on(self, post: _Post, lines: Sequence[str]) -> None:
        for line in lines:
            self._on_line(post.seen.process.name, line)
        if lines and not post.heard:
            post.heard = True
            if not self._held and all(each.heard for each in self._posts.values() if not each.seen.process.late):
                self._release()

    def _release(self) -> None:
        for post in self._posts.values():
            if post.seen.process.late and not post.seen.lives and post.due is not None:
                post.due = 0.0

    def _bury(self) -> None:
        for post in self._posts.values():
            if post.child is not None:
                self._ended(post, post.child, wait=False)

    def _ended(self, post: _Post, child: Child, *, wait: bool) -> None:
        code = child.poll()
        while wait and code is None:
            time.sleep(0.01)  # it was killed; the kernel needs a moment
            code = child.poll()
        if code is None:
            return
        if not wait:
            self._pass_on(post, child.lines(rest=True))
        if child.fileno() in self._selector.get_map():
            self._selector.unregister(child)
        child.close()
        post.child = None
        now = time.monotonic()
        life = replace(post.seen.lives[-1], ended=now, code=code, wanted=self._kill_at is not None)
        self._see(post, replace(post.seen, lives=(*post.seen.lives[:-1], life)))
        if not wait:
            self._decide(post, life, now)

    def _decide(self, post: _Post, life: Life, now: float) -> None:
        name, code = post.seen.process.name, life.code or 0
        if life.wanted:
            self._say(name, f"ended with {words(code)}", "info" if code in IN_ORDER else "warning")
            return
        what = after_end(code, now - life.began, post.short_lives)
        if isinstance(what, Leave):
            self._see(post, replace(post.seen, left=what.way_out))
            self._say(name, f"ended with {words(code)} and is not started again: {what.way_out}", "error")
            return
        post.due, post.short_lives = now + what.delay, what.short_lives
        self._say(name, f"ended with {words(code)}; started again in {what.delay:g} s", "warning")

    def _see(self, post: _Post, seen: Seen) -> None:
        post.seen = seen
        # a dict of frozen values, replaced as a whole: readers on other threads need no lock
        self._snapshot = {**self._snapshot, seen.process.name: seen}
