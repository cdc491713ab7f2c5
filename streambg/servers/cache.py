"""The user's cache: where jars, the class archive, the template and the data of local servers live."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from streambg.errors import StreambgError

Progress = Callable[[str], None]

LOCK_PAUSE = 0.05  # seconds between two tries for a lock: far below anything a person notices
LOCK_DEADLINE = 900.0  # seconds: Maven's own limit (jars.FETCH_DEADLINE) and a slow archive fit in it
RUN_GRACE = 3600.0  # seconds a data directory is left alone even when unlocked: its owner may be between two steps


def quiet(_: str) -> None:
    """The progress of a caller who wants none."""


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """`STREAMBG_CACHE`, else `XDG_CACHE_HOME/streambg`, else `~/.cache/streambg`. May be deleted at any time
    when no server runs; everything in it is made again.
    """
    own = environ.get("STREAMBG_CACHE")
    if own:
        return Path(own).expanduser().absolute()
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "streambg"


@contextmanager
def exclusive(lock: Path, progress: Progress = quiet, deadline: float = LOCK_DEADLINE) -> Iterator[None]:
    """Hold the lock file; other processes wait. The kernel frees it when the holder dies, however it dies."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + deadline
    with lock.open("a") as handle:
        said = False
        while not _locked(handle.fileno()):
            if not said:
                progress(f"waiting for another process that prepares {lock.parent}")
                said = True
            if time.monotonic() > end:
                raise StreambgError(
                    f"another process has held {lock} for {deadline:g} s",
                    way_out=f"find it with `fuser {lock}` and end it, or set STREAMBG_CACHE to another directory",
                )
            time.sleep(LOCK_PAUSE)
        yield


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class RunDirectory:
    """A directory for the data of one owned server, gone when the server is closed.

    Its guardian removes it when the owner is killed. Where both were killed (power, container stop), the next
    start removes it: nobody holds its lock any more.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        self.path = Path(tempfile.mkdtemp(prefix="run-", dir=root))
        self._lock = (self.path / "lock").open("w")
        fcntl.flock(self._lock.fileno(), fcntl.LOCK_EX)

    def remove(self) -> None:
        """Give the disk space back; may be called twice."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _sweep(root: Path) -> None:
    for old in root.glob("run-*"):
        try:
            if time.time() - old.stat().st_mtime < RUN_GRACE:
                continue
            with (old / "lock").open("a") as handle:
                abandoned = _locked(handle.fileno())
        except OSError:
            continue  # another process sweeps, too
        if abandoned:
            shutil.rmtree(old, ignore_errors=True)
