"""V: what is planted into the topics of an honest run, and found by `streambg audit`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from planted import ONE
from planted_topics import audited, begin

from chaos.scenario import trial
from chaos.table import Result

PLANTED = "corruptions planted into an honest run's topics, one at a time"


@trial("V1", PLANTED, counts=(len(ONE),) * 3)
def planted(bootstrap: str, count: int, folder: Path) -> Result:
    """All of them, whatever the size: they are few, and quick."""
    topics = begin(bootstrap, folder)
    counts, notes, events = Counter[str](), list[str](), 0
    for number, one in enumerate(ONE[:count]):
        place = folder / str(number)
        place.mkdir()
        report, wrong = audited(topics, one, place)
        counts.update(report["counts"])
        events += report["events"]
        notes += [f"{one[0]}: {why}" for why in wrong]
    named = [counts.pop(kind, 0) for kind in ("lost", "doubled", "out_of_order")]
    found = count - len({note.partition(":")[0] for note in notes})
    return Result(
        "V1", PLANTED, count, events, *named, sum(counts.values()), 0.0, None,
        f"{count} of {count} found, each by its kind and place", not notes, "; ".join([f"{found} of {count}", *notes]),
        planted=True,
    )  # fmt: skip
