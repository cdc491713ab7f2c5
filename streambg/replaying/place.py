"""The folder of a replay: `<folder>/<id>/`, its plan, its checkpoints, its report. Each file is there whole or not."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from streambg.errors import ConfigError, StreambgError
from streambg.replaying import plan as plans
from streambg.replaying import state as states
from streambg.replaying.plan import Plan
from streambg.replaying.state import BadState, State

# What is only there while a replay is under way.
PARTIAL = "partial"
PLAN_FILE = "plan.json"


class Place:
    """One replay's folder; nothing is made before something is written."""

    def __init__(self, folder: Path, replay: str) -> None:
        self.id = replay
        self.path = folder / replay

    @property
    def partial(self) -> Path:
        return self.path / PARTIAL

    def write_plan(self, plan: Plan) -> None:
        write_whole(self.partial / PLAN_FILE, plans.encode(plan))

    def plan(self) -> Plan:
        """Of a replay that is under way. Raises ConfigError where there is none, UpgradeFirst."""
        try:
            return plans.decode((self.partial / PLAN_FILE).read_bytes())
        except FileNotFoundError:
            raise ConfigError(
                f"there is no replay to go on with in {self.path}",
                way_out="give the id, or its beginning, that the interrupted replay has printed; "
                "and its --dir, if it had one",
            ) from None
        except ValueError as error:  # msgspec's errors are ValueErrors
            raise ConfigError(
                f"{self.partial / PLAN_FILE} is damaged: {error}", way_out=f"remove {self.path}; replay again"
            ) from error

    def write_state(self, state: State) -> None:
        write_whole(self._state_file(state.partition), states.encode(state, self.id))

    def state(self, partition: int) -> State | None:
        """None where nothing was found yet. Raises ConfigError for a damaged checkpoint, UpgradeFirst."""
        path = self._state_file(partition)
        try:
            return states.decode(path.read_bytes(), self.id)
        except FileNotFoundError:
            return None
        except BadState as error:
            raise ConfigError(f"{path} is damaged: {error}", way_out="remove it; --resume begins there anew") from error

    def _state_file(self, partition: int) -> Path:
        return self.partial / f"{partition}.state"

    def clear(self) -> None:
        """The report is there: nothing is left to go on with."""
        shutil.rmtree(self.partial, ignore_errors=True)


def find(folder: Path, prefix: str) -> str:
    """The id of the replay under way that begins so. Raises ConfigError: none, or several."""
    found = sorted(path.parent.parent.name for path in folder.glob(f"*/{PARTIAL}/{PLAN_FILE}"))
    matching = [replay for replay in found if replay.startswith(prefix)]
    if len(matching) == 1 and prefix:
        return matching[0]
    if matching:
        raise ConfigError(
            f"{len(matching)} replays in {folder} begin with {prefix!r}", way_out=f"one of: {', '.join(matching)}"
        )
    raise ConfigError(
        f"no replay in {folder} that begins with {prefix!r} was interrupted",
        way_out=f"one of: {', '.join(found)}" if found else "begin one: streambg replay --model NAME:VERSION",
    )


def require_writable(path: Path, option: str) -> None:
    """Asked before long work whose result goes there. Raises ConfigError."""
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = _draft(path)
        draft.touch()
        draft.unlink()
    except OSError as error:
        raise ConfigError(
            f"{option} {path} cannot be written: {error.strerror}",
            way_out=f"give this user the right to write there, or another file: {option}",
        ) from error


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


def write_whole(path: Path, data: bytes) -> None:
    """The file with these bytes, or as it was before. Raises StreambgError where the disk does not take it."""
    draft = _draft(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StreambgError(
            f"{path} cannot be written ({len(data):,} bytes): {error.strerror}",
            way_out="make room on that disk and call it again; a replay goes on with `streambg replay --resume ID`"
            if full
            else "give this user the right to write there, or name another place",
        ) from error
