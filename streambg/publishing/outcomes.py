"""A run as the records it writes: output records with their header, dead letters, cutovers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streambg.publishing.answers import View
from streambg.publishing.settle import Run
from streambg.publishing.table import Act, Side
from streambg.records.batch import Headers
from streambg.records.cutover import Cutover
from streambg.records.outcome import GIVEN_UP, HEADER, DeadLetter, Why, encode_dead_letter
from streambg.records.source import Color, Source, other

Header = tuple[str, str | bytes | None]
Counts = dict[tuple[Color | str, Why | str], int]
Cutovers = tuple[Cutover, ...]


@dataclass(frozen=True, slots=True)
class Records:
    """What one run writes for one partition, columns of n outcomes in source order."""

    values: list[bytes]
    keys: list[bytes | None]
    headers: list[list[Header]]
    times: list[int]
    dead_letters: list[tuple[bytes | None, bytes]]
    cutovers: Cutovers
    counts: Mapping[tuple[Color | str, Why | str], int]

    def __len__(self) -> int:
        return len(self.values) + len(self.dead_letters)


@dataclass(frozen=True, slots=True)
class Home:
    """What names the partition to the world: input topic and id, cluster id."""

    topic: str
    partition: int
    topic_id: str
    cluster_id: str

    def at(self, offset: int) -> Source:
        return Source(self.topic, self.partition, offset)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a run's records say beside the answers. `templates`: each color's header with holes (outcome.py).

    late: the sides whose deadline has fired; falls_back: P16, the other color may answer where live cannot.
    """

    home: Home
    live: Color
    epoch: int
    templates: Mapping[Color, bytes]
    late: frozenset[Side]
    falls_back: bool


def records_of(run: Run, live: View, other_view: View | None, scene: Scene, cutovers: Cutovers) -> Records:
    """The run's outcomes in source order."""
    if run.plain:
        return _as_routed(run, live, other_view, scene, cutovers)
    return _one_by_one(run, live, other_view, scene, cutovers)


def _as_routed(run: Run, live: View, other_view: View | None, scene: Scene, cutovers: Cutovers) -> Records:
    """Every row is published as routed: row i of both views is row i of the run."""
    n, others, offsets = len(run.offsets), int(run.chosen_other.sum()), run.offsets.tolist()
    # a template ends with the hole for the reason, which is the same for all of them here
    routed = {color: template[:-2] + b"route" for color, template in scene.templates.items()}
    values, keys, forwarded = live.values[:n], live.keys[:n], live.forwarded
    lines = [routed[scene.live]] * n
    if others and other_view is not None:
        header = routed[other(scene.live)]
        for row in np.flatnonzero(run.chosen_other).tolist():
            values[row], keys[row], lines[row] = other_view.values[row], other_view.keys[row], header
        forwarded = _picked(run.chosen_other.tolist(), live.forwarded, other_view.forwarded)
    # all headers are filled in one go (0.1 us each, one by one 0.3): no topic, model or digest holds a newline
    names = (b"\n".join(lines) % tuple(offsets)).split(b"\n") if n else []
    written: list[list[Header]] = [[(HEADER, name)] for name in names]
    if forwarded is not None:
        for line, more in zip(written, forwarded, strict=False):
            line.extend(more)
    counts: Counts = {}
    for color, count in ((scene.live, n - others), (other(scene.live), others)):
        if count:
            counts[color, "route"] = count
    return Records(values, keys, written, live.times[:n].tolist(), [], cutovers, counts)


def _picked(wants: list[bool], live: list[Headers] | None, chosen: list[Headers] | None) -> list[Headers] | None:
    """Each row's forwarded headers from the side that is published."""
    if live is None and chosen is None:
        return None
    none: list[Headers] = [[] for _ in wants]
    return [b if w else a for w, a, b in zip(wants, live or none, chosen or none, strict=False)]


def _one_by_one(run: Run, live: View, other_view: View | None, scene: Scene, cutovers: Cutovers) -> Records:
    """A run with rows that are absent, wrong, late or no events at all."""
    counts: Counts = {}
    records = Records([], [], [], [], [], cutovers, counts)
    live_rows, other_rows = run.live_rows.tolist(), run.other_rows.tolist()
    for index, (offset, act, why) in enumerate(zip(run.offsets.tolist(), run.acts.tolist(), run.whys, strict=True)):
        if act == Act.SKIP:
            continue
        if act == Act.DEAD:
            records.dead_letters.append(_dead_letter(run, index, live, other_view, scene))
            name: Color | str = "dead-letter"
        else:
            view, row, name = live, live_rows[index], scene.live
            if act == Act.OTHER and other_view is not None:
                view, row, name = other_view, other_rows[index], other(scene.live)
            headers: list[Header] = [(HEADER, scene.templates[name] % (offset, why.encode()))]
            if view.forwarded is not None:
                headers.extend(view.forwarded[row])
            records.values.append(view.values[row])
            records.keys.append(view.keys[row])
            records.headers.append(headers)
            records.times.append(int(view.times[row]))
        counts[name, why] = counts.get((name, why), 0) + 1
    return records


def _dead_letter(run: Run, index: int, live: View, other_view: View | None, scene: Scene) -> tuple[bytes | None, bytes]:
    """(key, value) of a dead letter: the reasons of both colors, the epoch, the source position (P17)."""
    offset = int(run.offsets[index])
    live_row, other_row = int(run.live_rows[index]), int(run.other_rows[index])
    chosen = other(scene.live) if run.chosen_other[index] else scene.live
    asked = chosen != scene.live or scene.falls_back  # P16: else the other color was not waited for
    reasons: dict[str, str] = {
        scene.live: _reason(live, live_row, offset, "live" in scene.late),
        other(scene.live): _reason(other_view, other_row, offset, "other" in scene.late and asked),
    }
    key = live.keys[live_row] if live_row >= 0 else other_view.keys[other_row] if other_view else None
    return key, encode_dead_letter(DeadLetter(scene.home.at(offset), scene.epoch, chosen, reasons))


def given_up(offsets: Sequence[int], keys: Sequence[bytes | None], scene: Scene, cutovers: Cutovers) -> Records:
    """P29: the events of an accepted gap as dead letters."""
    reasons: dict[str, str] = {scene.live: GIVEN_UP, other(scene.live): GIVEN_UP}
    letters = [
        (key, encode_dead_letter(DeadLetter(scene.home.at(offset), scene.epoch, scene.live, reasons)))
        for offset, key in zip(offsets, keys, strict=True)
    ]
    return Records([], [], [], [], letters, cutovers, {("dead-letter", GIVEN_UP): len(letters)})


def _reason(view: View | None, row: int, offset: int, late: bool) -> str:
    """A color's reason in a dead letter: its own error, `none`, or `late` (P17)."""
    if view is not None and row >= 0 and not view.ok[row]:
        return view.values[row].decode("utf-8", "replace")
    if view is not None and late and offset > view.covered:
        return "late"
    return "none"
