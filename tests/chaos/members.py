"""The processes of a pipeline under faults: started, killed, stopped in their tracks, started again by a watcher."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

from pipelines import Process, Running

from streambg.process.crash import EXIT_CODE, VARIABLE
from streambg.servers.ports import HOST

# How often the watcher looks; a supervisor's own pause would only be added to what is measured.
LOOK_S = 0.02


@dataclass
class Member:
    """One process of the pipeline. `ended`: exit codes of those that ended by themselves."""

    name: str
    module: str
    options: tuple[str, ...]
    environment: Mapping[str, str]
    process: Process | None = None
    keep: bool = True  # does the watcher start it again?
    ended: list[int] = field(default_factory=list)
    killed: int = 0
    crash: str = ""  # where its next life ends

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.popen.pid

    @property
    def log(self) -> str:
        """Of this life."""
        assert self.process is not None
        return self.process.log.read_text(errors="replace")

    @property
    def troubles(self) -> int:
        """How many sessions of this life ended, those on purpose not counted."""
        return sum("session_ended" in line and "on purpose" not in line for line in self.log.splitlines())

    @property
    def transactions(self) -> int:
        """How many a publisher has committed in this life."""
        assert self.process is not None
        with urlopen(f"http://{HOST}:{self.process.port}/metrics", timeout=5) as answer:
            metrics = answer.read().decode()
        [count] = re.findall(r"^streambg_transaction_seconds_count (\S+)", metrics, re.MULTILINE)
        return int(float(count))

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.popen.poll() is None


class Members:
    """All of them. The watcher starts again whatever ends, until `stop`."""

    def __init__(self, run: Running) -> None:
        self._run = run
        self._members: dict[str, Member] = {}
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self._thread.start()

    def __getitem__(self, name: str) -> Member:
        return self._members[name]

    def start(self, name: str, module: str, *options: str, environment: Mapping[str, str] | None = None) -> Member:
        member = Member(name, module, options, environment or {})
        with self._lock:
            self._members[name] = member
            self._begin(member)
        return member

    def begin(self, name: str) -> None:
        """Start it again, with the watcher behind it."""
        with self._lock:
            member = self._members[name]
            member.keep = True
            if not member.alive:
                self._begin(member)

    def kill(self, name: str, *, restart: bool = True) -> float:
        """SIGKILL; the monotonic second of it. Started again at once, or left dead until `begin`."""
        with self._lock:
            member = self._members[name]
            member.keep = restart
            at = time.monotonic()
            if member.process is not None:
                member.process.kill()
                member.killed += 1
            if restart:
                self._begin(member)
            return at

    def terminate(self, name: str, *, restart: bool = True) -> float:
        """SIGTERM, and the end waited for."""
        with self._lock:
            member = self._members[name]
            member.keep = restart
            at = time.monotonic()
            if member.process is not None and member.alive:
                member.process.popen.terminate()
                member.process.popen.wait(30)
            if restart:
                self._begin(member)
            return at

    def rearm(self, name: str, crash: str) -> None:
        """The next life of the member ends at a named place; the one after it does not."""
        self._members[name].crash = crash

    def crashed(self, name: str, times: int) -> bool:
        return self._members[name].ended.count(EXIT_CODE) >= times

    def freeze(self, name: str) -> None:
        os.kill(self._members[name].pid, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        os.kill(self._members[name].pid, signal.SIGCONT)

    def names(self) -> list[str]:
        return list(self._members)

    def peak_mb(self, name: str) -> float:
        """The largest resident size of the process that runs now, in MB."""
        status = Path(f"/proc/{self._members[name].pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def process(self, name: str) -> Process:
        process = self._members[name].process
        assert process is not None
        return process

    def assigned(self, name: str) -> bool:
        """Has it had partitions in this life?"""
        return '"assigned"' in self._members[name].log

    def gone(self, name: str) -> bool:
        return not self._members[name].alive

    def exit_code(self, name: str) -> int | None:
        process = self._members[name].process
        return process.popen.returncode if process is not None else None

    def stop(self) -> None:
        """End the watcher; the pipeline ends the processes."""
        self._over.set()
        self._thread.join(5)

    def _begin(self, member: Member) -> None:
        armed = {VARIABLE: member.crash} if member.crash else {}
        member.crash = ""
        environment = {**member.environment, **armed}
        member.process = self._run.start(member.module, *member.options, environment=environment)

    def _watch(self) -> None:
        while not self._over.wait(LOOK_S):
            with self._lock:
                for member in self._members.values():
                    if member.keep and member.process is not None and not member.alive:
                        member.ended.append(member.process.popen.returncode)
                        self._begin(member)
