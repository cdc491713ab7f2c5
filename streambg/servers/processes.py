"""Processes that are not our children: is it still the one we started, and end it."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

GRACE = 30.0  # seconds from SIGTERM to SIGKILL, as guarded.GRACE
LAST = 10.0  # seconds for the kernel to bury what was killed


def identity(pid: int) -> str | None:
    """Boot and start time of a living process: with the pid they name it for ever, though pids are used again.

    None when there is none, or only its unburied rest.
    """
    try:
        # after the command in brackets, which may hold anything: state is field 3, start time field 22 (man 5 proc)
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else f"{boot}/{fields[19]}"


def end(pid: int, started: str, grace: float = GRACE) -> bool:
    """SIGTERM, after `grace` seconds SIGKILL; False when that process was gone already. Another process that got the
    pid since is left alone, even if it gets it now: signals go through a pidfd.
    """
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if identity(pid) != started:
            return False
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, LAST)):
            try:
                signal.pidfd_send_signal(handle, number)
            except ProcessLookupError:
                break
            if select.select([handle], [], [], patience)[0]:
                break
        return True
    finally:
        os.close(handle)
