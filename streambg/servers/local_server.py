"""What a local broker and a local Redis have in common: a directory, a port, a guarded process."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from streambg.errors import StreambgError
from streambg.servers.cache import RunDirectory, cache_dir
from streambg.servers.guarded import Guarded
from streambg.servers.ports import HOST, free_port

PORT_TRIES = 3  # a chosen port can be taken by another process before the server listens


class PortStolen(StreambgError):
    """Another process took the port between its choice and its use."""


class LocalServer:
    """One server, owned by this process: it ends with it, however that ends. Not for several threads at once.

    `directory` None: a temporary one that `close()` removes; else what is in it is used and kept. `port` None: a free
    one, chosen once and kept over restarts.
    """

    name = "server"

    def __init__(self, directory: Path | None, port: int | None, cache: Path | None) -> None:
        self._cache = cache or cache_dir()
        self._asked_port = port
        self._own = RunDirectory(self._cache / "run") if directory is None else None
        self.directory = (self._own.path if self._own else directory or Path()).absolute()
        self.log = self.directory / f"{self.name}.log"
        self.port = port or free_port()
        self._process: Guarded | None = None

    @property
    def pid(self) -> int:
        """Of the server's process; raises StreambgError when it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise StreambgError(f"the {self.name} of {self.directory} does not run", way_out="start() it first")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there (it may be stopped by a signal)."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start and wait until clients are answered."""
        raise NotImplementedError

    def stop(self) -> None:
        """SIGTERM and wait; port and data stay for the next start()."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """SIGKILL and wait; port and data stay for the next start()."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def release(self) -> None:
        """From now on the server outlives this process; the caller has written down how to find it."""
        if self._process is not None:
            self._process.release()
            self._process = None

    def close(self) -> None:
        """End the server; data in a temporary directory is removed (and need not be written down in order first)."""
        if self._own is None:
            self.stop()
            return
        self.kill()
        self._own.remove()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def log_tail(self, seen: int, lines: int = 12) -> str:
        """The end of what the server wrote after byte `seen` of its log."""
        try:
            with self.log.open("rb") as handle:
                handle.seek(seen)
                text = handle.read(1 << 20).decode(errors="replace")
        except OSError:
            return ""
        return "\n    ".join(text.splitlines()[-lines:])

    def where_to_look(self) -> str:
        """Way out of a start that failed."""
        return f"see {self.log}" if self._own is None else "give a directory to keep the whole log"

    def stolen(self, port: int) -> PortStolen:
        """The error for a port that another process took."""
        return PortStolen(
            f"port {port} on {HOST} was taken by another process while the {self.name} started",
            way_out="start again, with another port if one was asked for",
        )
