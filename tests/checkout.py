"""A pipeline of its own for a test: what a team's repository holds, in a folder, run through the console script."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from endings import tied
from waiting import until

from streambg.servers.ports import free_port

REPOSITORY = Path(__file__).parent.parent
# Addresses of the developer's own servers are no business of a test that brings its own.
OWN = ("STREAMBG_BOOTSTRAP", "STREAMBG_REDIS")


def checkout(folder: Path) -> Path:
    """pipeline.yaml, topics/ and consumers/ of the repository, copied; nobody listens at the file's usual addresses."""
    text = (REPOSITORY / "pipeline.yaml").read_text()
    for usual in (":-127.0.0.1:9092", ":-redis://127.0.0.1:6379"):
        assert usual in text
        text = text.replace(usual, f"{usual.rpartition(':')[0]}:{free_port()}")
    (folder / "pipeline.yaml").write_text(text)
    for name in ("topics", "consumers"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def renamed(folder: Path, name: str) -> Path:
    """The reference pipeline under this name: the broker is shared with other tests."""
    file = checkout(folder) / "pipeline.yaml"
    text = file.read_text()
    for usual, own in (
        ("pipeline: shuttle", f"pipeline: {name}"),
        ("topic: sensors", f"topic: {name}-in"),
        ("topic: sensor-alerts", f"topic: {name}-out"),
        ("topic: sensor-labels", f"topic: {name}-labels"),
    ):
        assert text.count(usual) == 1, usual
        text = text.replace(usual, own)
    file.write_text(text)
    return folder


def environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OWN} | more


class Verb:
    """`streambg ...` as a process; its stderr (or, `merged`, everything) is read line by line while it runs."""

    def __init__(self, folder: Path, *words: str, merged: bool = False, **more: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            tied(sys.executable, "-m", "streambg", *words),
            cwd=folder,
            env=environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []
        self._out = ""
        heard = self.process.stdout if merged else self.process.stderr
        assert heard is not None
        self._readers = [threading.Thread(target=self._hear, args=[heard])]
        if not merged:
            self._readers.append(threading.Thread(target=self._read))
        for reader in self._readers:
            reader.start()

    def _hear(self, stream: Any) -> None:
        for line in stream:
            self.said.append(line.rstrip("\n"))

    def _read(self) -> None:
        assert self.process.stdout is not None
        self._out = self.process.stdout.read()

    def says(self, text: str, timeout: float = 60.0, times: int = 1) -> str:
        """Wait for a line that holds `text` for the `times`-th time; that line."""

        def found() -> str:
            lines = [line for line in self.said if text in line]
            if len(lines) >= times:
                return lines[times - 1]
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode} without {text!r}:\n" + "\n".join(self.said))
            return ""

        return until(found, timeout, text)

    def end(self, timeout: float = 90.0) -> int:
        """Wait for its own end; the exit code."""
        try:
            return self.process.wait(timeout)
        finally:
            self.close()

    def json(self) -> Any:
        """What it printed, once it has ended."""
        return json.loads(self._out)

    def close(self) -> None:
        """End it, if it still runs, and the readers with it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for reader in self._readers:
            reader.join(10)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def pid_in(line: str) -> int:
    """The process id that a line ends with."""
    return int(line.rpartition("pid ")[2])


def gone(pid: int) -> bool:
    """Has the process ended, buried or not?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] in {"Z", "X"}
    except FileNotFoundError:
        return True
