"""The demo's own servers: thrown away at the end, or kept beside the pipeline file until the next time."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streambg import servers
from streambg.errors import ConfigError
from streambg.running.places import BOOTSTRAP, REDIS
from streambg.servers import Choice, Servers, detached
from streambg.servers.cache import Progress

FOLDER = Path(".streambg", "demo")


@dataclass(frozen=True, slots=True)
class Kept:
    """What a person needs to go on with kept servers."""

    folder: Path
    exports: str
    usual: bool

    def words(self, program: str) -> list[str]:
        """How to look at them, and how to be rid of them; `program`: how this shell calls streambg."""
        first = [] if self.usual else [f". {shlex.quote(str(self.folder / 'env'))}      # the usual ports were taken"]
        return [
            *first,
            f"{program} audit",
            f"{program} status",
            f"{program} history",
            f"{program} broker stop --dir {shlex.quote(str(self.folder))} --remove-data   # end them",
        ]


def program(environ: Mapping[str, str] = os.environ) -> str:
    """How the shell calls this streambg: by its name where that is on the PATH, else by its path."""
    script = Path(sys.executable).parent / "streambg"
    on_path = shutil.which("streambg", path=environ.get("PATH", ""))
    if not script.exists() or (on_path is not None and Path(on_path).samefile(script)):
        return "streambg"
    here = Path.cwd()
    return shlex.quote(str(script.relative_to(here) if script.is_relative_to(here) else script))


def bring(beside: Path, choice: Choice, keep: bool, progress: Progress) -> Servers:
    """Fresh servers, owned by this process; with `keep` detached ones that take the place of those kept before.

    An address in the environment is not used: the demo writes into topics of its own only. Raises as servers.start.
    """
    if not keep:
        return servers.start(choice, progress=progress)
    if choice == "docker":
        raise ConfigError(
            "--keep keeps the data in a directory, a Docker container keeps it inside", way_out="--servers local"
        )
    folder = beside / FOLDER
    if detached.stop(folder, remove_data=True):
        progress(f"ended the servers kept in {folder} and threw their data away")
    return servers.start("local", owned=False, data_dir=folder, progress=progress)


def write_down(beside: Path, started: Servers, usual: bool) -> Kept:
    """Leave the addresses in a file; `usual`: they are the ones that the pipeline file names by itself."""
    folder = beside / FOLDER
    exports = f"export {BOOTSTRAP}={started.bootstrap} {REDIS}={started.redis_url}\n"
    (folder / "env").write_text(exports, encoding="utf-8")
    return Kept(folder, exports.strip(), usual)
