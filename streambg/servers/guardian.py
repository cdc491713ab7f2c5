"""The guardian of one server: a small process that ends the server when the server's owner is gone.

Run as a script by `guarded.py` (`python -I -S guardian.py SPEC`), it needs nothing but the standard library. It is
the server's parent, so there is no moment in which the server exists unguarded. It learns of its owner's end from the
end of a pipe and, because a fork of the owner may hold the pipe open, from the owner's pidfd; neither depends on a
thread of the owner, as PR_SET_PDEATHSIG would. That signal is used one step down: the guardian has a single thread,
and if it is killed itself the kernel kills the server.

Orders on stdin, one byte each:  s  end the server in order, keep its files    k  kill it, keep its files
                                 r  released: the owner no longer matters (a detached server)
Reports on stdout, one line each:  pid N  |  exit CODE  |  error TEXT
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
from typing import Any

STOP, KILL, RELEASE, OWNER_GONE = b"s", b"k", b"r", b""
PR_SET_PDEATHSIG = 1  # linux/prctl.h
BLIND_POLL_MS = 200  # where the kernel has no pidfd: how often to look
AT_END_TIMEOUT = 60.0  # seconds for the last command (removing a container takes 10 s when its process ignores TERM)


class Guardian:
    """One server, its owner, and the loop that waits for either to end."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.server: subprocess.Popen[bytes] | None = None
        self.released = False

    def run(self) -> None:
        """Start the server, then wait for an order, the owner's end or the server's."""
        if self.spec["command"]:
            try:
                self.server = self.start()
            except OSError as error:
                report(f"error {error}")
                return
            report(f"pid {self.server.pid}")
        else:
            report("pid 0")
        self.obey(self.wait())

    def start(self) -> subprocess.Popen[bytes]:
        """Raises OSError when the command cannot be run."""
        libc = ctypes.CDLL(None, use_errno=True)
        limits = [(int(which), int(value)) for which, value in self.spec["limits"]]

        def in_child() -> None:
            if sys.platform == "linux":
                libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            for which, value in limits:
                resource.setrlimit(which, (value, value))

        with open(self.spec["log"], "ab") as log:
            return subprocess.Popen(
                self.spec["command"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.spec["environment"],
                cwd=self.spec["cwd"],
                preexec_fn=in_child,  # noqa: PLW1509 - unsafe with threads; this process has one
            )

    def wait(self) -> bytes:
        """The order that ends the wait. A server that ends by itself is reported and its files stay until then."""
        owner, child = pidfd(self.spec["owner"]), pidfd(self.server.pid if self.server else 0)
        blind = owner is None or (self.server is not None and child is None)
        poll = select.poll()
        poll.register(0, select.POLLIN)
        for fd in (owner, child):
            if fd is not None:
                poll.register(fd, select.POLLIN)
        told = False
        while True:
            ready = {fd for fd, _ in poll.poll(BLIND_POLL_MS if blind else None)}
            if self.server and not told and self.server.poll() is not None:
                report(f"exit {self.server.returncode}")
                told = True
                if child is not None:
                    poll.unregister(child)
            if self.released:
                if owner in ready:
                    poll.unregister(owner)
            elif 0 in ready or owner in ready or os.getppid() != self.spec["owner"]:
                # orders before obituaries: the last word of an owner that is gone may be its release
                order = os.read(0, 1) if select.select([0], [], [], 0)[0] else OWNER_GONE
                if order != RELEASE or not self.server:
                    return order
                self.released = True
                poll.unregister(0)
            if self.released and told:  # in this order or the other: a server may end before its release is read
                return STOP

    def obey(self, order: bytes) -> None:
        """End the server as ordered; an owner that is gone needs neither the server's clean end nor its files."""
        gone = order == OWNER_GONE
        if self.server and self.server.poll() is None:
            discard = gone and self.spec["remove"] is not None
            if order == KILL or discard:
                self.server.kill()
            else:
                self.server.terminate()
            try:
                self.server.wait(self.spec["grace"])
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
        report(f"exit {self.server.returncode if self.server else 0}")
        if self.spec["at_end"] and order != RELEASE:
            subprocess.run(
                self.spec["at_end"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=AT_END_TIMEOUT,
                check=False,
            )
        if gone and self.spec["remove"] is not None:
            shutil.rmtree(self.spec["remove"], ignore_errors=True)


def pidfd(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None where there is none to be had."""
    if not pid or not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:  # the process is gone already, or an old kernel
        return None


def report(line: str) -> None:
    """To the owner, if it still listens."""
    with contextlib.suppress(OSError):
        os.write(1, line.encode() + b"\n")


class _Terminated(Exception):
    pass


def main() -> None:
    """Guard until the end; SIGTERM counts as an order to stop."""

    def terminated(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise _Terminated

    signal.signal(signal.SIGTERM, terminated)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    guardian = Guardian(json.loads(sys.argv[1]))
    try:
        guardian.run()
    except _Terminated:
        guardian.obey(STOP)


if __name__ == "__main__":
    main()
