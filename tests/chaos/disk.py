"""A disk of a known size, in memory, that a test may fill: mounted by root, gone when the tests are."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from endings import at_last

from streambg.errors import StreambgError

SIZE_MB = 256
# What is left: a few seconds of load, so that the end comes in the middle of some topic's write.
LEFT_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True)
class Disk:
    """`path`: where it is mounted."""

    path: Path

    def fill(self) -> None:
        """All but a little of what is free."""
        free = shutil.disk_usage(self.path).free
        with self._filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, free - LEFT_BYTES))

    def empty(self) -> None:
        """What `fill` took is free again."""
        self._filler.unlink()

    @property
    def _filler(self) -> Path:
        return self.path / "filler"


@contextmanager
def small_disk() -> Iterator[Disk]:
    """Raises StreambgError where this user may not mount anything."""
    with tempfile.TemporaryDirectory(prefix="streambg-disk-") as made:
        path = Path(made) / "mounted"
        path.mkdir()
        asked = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "streambg-disk", str(path)]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StreambgError(
                f"no disk of {SIZE_MB} MB can be mounted here: {done.stderr.strip()}",
                way_out="run it as root, outside of a container without CAP_SYS_ADMIN",
            )
        with at_last(Path(made) / "umount.log", "umount", "--lazy", str(path)):
            yield Disk(path)
