"""Ties a child to the process that starts it, then becomes the child (`python -I -S tether.py PARENT COMMAND...`).

The kernel kills the child when the *thread* that started it ends, however it ends; kill -9 of the parent included.
It stays in force over exec. Set here and not between fork and exec, where a process with threads must run no Python.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """The parent may have ended before the tie was there; then there is nobody to work for."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == int(sys.argv[1]):
        os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
