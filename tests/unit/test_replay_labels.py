"""Whose label is whose in a replay: what the live join says, label by label, of the same events and labels."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from replays import TERMS, lane

from streambg.labelling.cohorts import Awaited, width_of
from streambg.labelling.matching import Candidate, Dated, Mark, find
from streambg.labelling.rows import Layout, layout_of, place_of
from streambg.records.gate import LabelTerms
from streambg.replaying import state as states
from streambg.replaying.labels import LabelTable

# Cohorts of 5 s: some hold several of the events below, and a label may look into a handful of them.
HORIZON_MS = 12_000
LABELS = LabelTerms("labels", "id", "y", HORIZON_MS, 10_000, False)

Events = Sequence[tuple[int, int]]
Labels = Sequence[tuple[int, int, bool]]


def waiting_room(layout: Layout, events: Events) -> list[tuple[int, Candidate, int]]:
    """(key, row, which event) of the events that wait: of one key and cohort the first."""
    dated = Awaited().dated(np.array([time for time, _ in events], np.int64)).tolist()
    rows: dict[tuple[int, int], tuple[int, Candidate, int]] = {}
    for at, (time, (_, key)) in enumerate(zip(dated, events, strict=True)):
        cohort = time // layout.width
        fixed = np.zeros(1, layout.fixed)
        fixed["time"], fixed["offset"] = time - cohort * layout.width, at
        rows.setdefault((cohort, key), (key, Candidate(cohort, fixed.tobytes(), None), at))
    return list(rows.values())


def live(events: Events, labels: Labels) -> dict[int, bool]:
    """Event -> its label, by the live code: of each label in the order of its partition."""
    layout = layout_of(TERMS)
    assert layout is not None
    layout = Layout(LABELS, width_of(HORIZON_MS), layout.fields, layout.full, layout.fixed)
    room, found, high = waiting_room(layout, events), dict[int, bool](), -1
    for offset, (time, key, value) in enumerate(labels):
        high = max(high, time)
        label = Dated(offset, high, place_of(str(key).encode()), float(value))
        mine = [
            (row._replace(mark=Mark(0, -1, float(found[at])) if at in found else None), at)
            for other, row, at in room
            if other == key
        ]
        what = find(layout, 0, label, [row for row, _ in mine])
        if what.kind == "matched":
            found[next(at for row, at in mine if row == what.candidate)] = value
    return found


def replayed(events: Events, labels: Labels, borders: Sequence[int]) -> dict[int, bool]:
    """The same by a replay whose windows end there; what it keeps goes through bytes in between."""
    table = LabelTable(LABELS)
    table.take(
        [time for time, _, _ in labels], [json.dumps({"id": key, "y": value}).encode() for _, key, value in labels]
    )
    table.sort()
    state = states.begun(lane(len(events)), TERMS, 1)
    state.met, found = table.begun(), dict[int, bool]()
    for low, high in zip([0, *borders], [*borders, len(events)], strict=True):
        state = states.decode(states.encode(state, "id"), "id")
        assert state.met is not None
        some = events[low:high]
        given_ = table.find(state.met, [key for _, key in some], np.array([time for time, _ in some], np.int64))
        found |= {low + at: bool(given_.labels[at]) for at in np.flatnonzero(given_.there).tolist()}
    return found


def test_the_second_event_of_a_key_does_not_get_the_label_of_the_first() -> None:
    labels = [(9_000, 1, True), (21_000, 1, False)]
    assert replayed([(0, 1), (8_000, 1)], labels, []) == {0: True}, "both labels are the first one's, or nobody's"
    assert replayed([(0, 1), (8_000, 1), (10_000, 1)], labels, [1]) == {0: True, 2: False}
    for borders in ([], [1]):
        assert replayed([(0, 1), (1_000, 1)], [(12_500, 1, True)], borders) == {}, "in one cohort the first waits alone"


TIMES = st.integers(0, 40_000)
KEYS = st.integers(0, 2)


@given(
    st.lists(st.tuples(TIMES, KEYS), max_size=14),
    st.lists(st.tuples(TIMES, KEYS, st.booleans()), max_size=10),
    st.sets(st.integers(0, 14)),
)
def test_a_replay_joins_as_the_living_comparator_does(events: Events, labels: Labels, cuts: set[int]) -> None:
    borders = sorted(min(cut, len(events)) for cut in cuts)
    assert replayed(events, labels, borders) == live(events, labels)
