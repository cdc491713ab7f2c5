"""Z4: a publisher broken on purpose must be found; a checker that finds nothing there proves nothing elsewhere."""

from __future__ import annotations

from pathlib import Path

from pipelines import Running, pipeline
from simulation.shape import PARTITIONS
from waiting import until

from chaos.scenario import trial
from chaos.table import Result
from streambg import audit
from streambg.audit.tally import Kind

ASSIGNED = "assign() for subscribe()"


@trial("Z4", "publishers built on assign(), two at once", counts=(2, 5, 20))
def assigned(bootstrap: str, count: int, folder: Path) -> Result:
    """Each takes every partition: no group says who publishes. The audit must say so every time."""
    found = doubled = events = 0
    for number in range(count):
        place = folder / str(number)
        place.mkdir()
        with pipeline(place, bootstrap, f"chaos-z4-{number}", partitions=PARTITIONS) as run:
            _published_by_both(run)
            counts = audit.run(run.pipeline).counts
            doubled += counts[Kind.DOUBLED]
            found += counts[Kind.DOUBLED] > 0
            events += run.sent
    return Result(
        "Z4",
        "publishers built on assign(), two at once",
        count,
        events,
        0,
        doubled,
        0,
        0,
        0.0,
        None,
        f"found in {count} of {count}",
        found == count,
        f"found in {found} of {count}",
        planted=True,
    )


def _published_by_both(run: Running) -> None:
    """Until each has settled everything, and ended cleanly: what it wrote is committed."""
    run.say("deploy", "blue", "m:1", start="earliest")
    run.start("scorer", "--color", "blue")
    both = [run.with_port(run.start("chaos.broken", ASSIGNED, "publisher", "--slot", str(slot))) for slot in (0, 1)]
    until(lambda: all(len(each.health()["partitions"]) == PARTITIONS for each in both), 30, "both took every partition")
    run.feed(200)

    def settled() -> bool:
        held = [each.health()["partitions"] for each in both]
        ends = run.ends.items()
        return all(partitions[str(number)]["settled"] >= end - 1 for partitions in held for number, end in ends)

    until(settled, 40, "both settled everything")
    run.stop()
