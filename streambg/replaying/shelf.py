"""The finished replays of a directory: one folder each, named by its id, with `report.json` in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from streambg.errors import ConfigError, StreambgError
from streambg.replaying.document import PAGE_FILE, REPORT_FILE, TIMING_FILE, Report, Timing, decode, decode_timing
from streambg.replaying.html import render
from streambg.replaying.place import write_whole
from streambg.replaying.words import SHORT

# Where replays are kept, below the directory that a verb is said in.
FOLDER = Path("replays")
# The page with what that run took, which `report.html` is without: the same id gives the same page.
TIMED_PAGE_FILE = "report-timed.html"
_ID = re.compile(r"[0-9a-f]{1,64}")


@dataclass(frozen=True, slots=True)
class Kept:
    """A replay's folder and what is in it. timing: None where its file is gone or not readable."""

    folder: Path
    report: Report
    timing: Timing | None

    def page(self) -> Path:
        """Written anew, with the timing of the run where that is there. Raises StreambgError."""
        path = self.folder / (PAGE_FILE if self.timing is None else TIMED_PAGE_FILE)
        write_whole(path, render(self.report, self.timing).encode())
        return path


@dataclass(frozen=True, slots=True)
class Unread:
    """A folder without a report that can be read, and why: interrupted, damaged, of a newer streambg."""

    folder: Path
    why: str


def kept(root: Path) -> list[Kept | Unread]:
    """All replays below `root`, the newest first, those without a time last; none where there is no such directory."""
    found = [_read(folder) for folder in _folders(root)]
    return sorted(found, key=lambda each: (-(begun_ms(each) or 0), each.folder.name))


def begun_ms(each: Kept | Unread) -> int | None:
    """When it was made, ms since 1970."""
    return each.timing.started_ms if isinstance(each, Kept) and each.timing is not None else None


def find(root: Path, wanted: str) -> Kept:
    """By its id or the beginning of it. Raises ConfigError where none or several begin so, StreambgError where the one
    that does has no report that can be read.
    """
    if not _ID.fullmatch(wanted):
        raise ConfigError(f"{wanted!r} is no id of a replay, nor its beginning", way_out="streambg replay list")
    names = [folder.name for folder in _folders(root)]
    found = [name for name in names if name.startswith(wanted)]
    if len(found) > 1:
        some = ", ".join(name[: max(SHORT, len(wanted) + 2)] for name in found[:5])
        raise ConfigError(f"{len(found)} replays begin with {wanted}: {some}", way_out="give more of the id")
    if not found:
        has = f"{len(names)} others are there" if names else "there are none"
        raise ConfigError(f"no replay in {root} begins with {wanted}; {has}", way_out="streambg replay list")
    read = _read(root / found[0])
    if isinstance(read, Unread):
        raise StreambgError(f"{read.folder}: {read.why}", way_out=f"streambg replay --resume {found[0][:SHORT]}")
    return read


def newest(root: Path) -> Kept:
    """The one that was made last. Raises ConfigError where there is none."""
    found = next((each for each in kept(root) if isinstance(each, Kept)), None)
    if found is None:
        raise ConfigError(f"no replays in {root}", way_out="streambg replay --model NAME:VERSION --last 24h")
    return found


def _folders(root: Path) -> Iterator[Path]:
    if root.is_dir():
        yield from sorted(path for path in root.iterdir() if path.is_dir() and _ID.fullmatch(path.name))


def _read(folder: Path) -> Kept | Unread:
    try:
        report = decode((folder / REPORT_FILE).read_bytes())
    except FileNotFoundError:
        return Unread(folder, f"it has no {REPORT_FILE}: the replay was interrupted, or goes on")
    except (OSError, ValueError, StreambgError) as error:
        return Unread(folder, f"{REPORT_FILE} cannot be read: {_said(error)}")
    if report.id != folder.name:
        return Unread(folder, f"{REPORT_FILE} is of replay {report.id[:SHORT]}: it was moved here")
    return Kept(folder, report, _timing(folder))


def _timing(folder: Path) -> Timing | None:
    try:
        return decode_timing((folder / TIMING_FILE).read_bytes())
    except (OSError, ValueError):
        return None


def _said(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, msgspec.ValidationError):
        return f"it is no report of this streambg ({error})"
    return getattr(error, "what", str(error))
