"""docs/performance-peers.md: date, versions, machine, settings, method, table, and what it means."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping

from benchmarks.peers import ahead, ours, table
from benchmarks.peers.bench import FULL, RATE
from benchmarks.peers.peer import GUARANTEES, Guarantee, Row
from benchmarks.peers.results import Found, Machine
from benchmarks.peers.roster import PEERS

# Characters a line, as in all documents.
WIDTH = 120

METHOD = f"""\
One broker (Apache Kafka {{kafka}}, one node, the JVM's own compiler settings) and every contender in turn, each with
its own topics of 8 partitions, on the same machine; nothing is pinned, and the broker shares the processors with
whoever is measured; before the first one it is warmed up by the loop by hand. So trust the ratios within a column, not
the absolute figures; runs differ by a tenth and more.

- **hop**: consume an event (144 bytes of JSON, ten fields), decode, score three features, encode, produce. The input
  stands in the topic beforehand. After the warm-up the median of three windows of {FULL.seconds / 3:.1f} s counts.
  Kafka Streams is given a million events first: until the JVM has compiled the way, they cost twice as much.
- **CPU us an event**: user and system time of the contender's processes; in brackets the broker's. **MB**: the
  largest process's peak.
- **latency**: from the making of an event to its answer in a read_committed reader, at {RATE:,} events a second for
  {FULL.latency_s:.0f} s, the first {FULL.drop_s:.0f} s dropped. "does not keep up": a second after the end, 2 % of the
  answers were still missing.
- **join**: two topics of predictions, paired event by event, agreement counted; nothing is written but a tally for
  every thousand pairs. Peers read one record a prediction; streambg's comparator reads its prediction batches, compares
  all that it compares in production (score differences, three drift detectors, ...) and keeps its evidence.
- **publisher**: both colors' predictions in, one answer out for each event in source order, green's for a tenth of the
  keys, one header that says whose it is, exactly once.
- **10 kills**: the strongest setting that a peer documents; events come at {RATE:,} a second (Faust: 500) while all
  processes of the contender are killed with -9 ten times at random moments and started again at once. Then it drains,
  and the event numbers that a read_committed reader finds in the output are compared with those of the input.
  streambg's two scorers and its publisher die together, half of the keys on green; its audit judges it as well."""

OUR_ROWS = """\
- *streambg, at-least-once* is the scorer alone: it writes predictions in batches, which are internal. It is one half of
  the way; the peers' hop writes what everybody can read.
- *streambg, exactly-once* is the whole way, scorer and publisher as two processes: one output record for each event.
  Its CPU is the sum of both."""


WHY_AHEAD = """\
streambg's way is one process longer: scorer, predictions topic, publisher. That costs a second hop of latency, the CPU
time of both processes, and, after a kill of everything, the start of three Python processes and a group that forms
anew; it buys two answers to each event, and a choice between them that holds through the kill. Each process holds numpy
and the batches of both colors."""


def titles() -> dict[str, str]:
    """By name, streambg first."""
    return {ours.NAME: ours.TITLE, **{peer.name: peer.title for peer in PEERS}}


def page(found: Mapping[str, Found], machine: Machine, kafka: str) -> str:
    """The whole page."""
    return _wrapped(
        [
            "# streambg beside its peers",
            "",
            "What a user would pick instead, doing the same work. This page is written by a run:",
            '`make bench-peers ARGS="--report docs/performance-peers.md"`.',
            "",
            *_when(found, machine),
            "",
            table.markdown(table.rows(found, titles())),
            "",
            OUR_ROWS,
            *_failures(found),
            "",
            "## What it means",
            "",
            *_meaning(found),
            "",
            "## Where somebody is ahead",
            "",
            *ahead.lines(found, titles(), ours.NAME),
            "",
            WHY_AHEAD,
            "",
            "## How it was measured",
            "",
            METHOD.format(kafka=kafka),
            "",
            "## The peers, their settings, and what they cannot do",
            "",
            *_peers(found),
        ]
    )


def _wrapped(lines: Iterable[str]) -> str:
    """As text of the documents' width; tables stay as they are."""
    wrapped = [
        part
        for text in lines
        for line in text.split("\n")
        for part in (
            [line]
            if line.startswith("|") or len(line) <= WIDTH
            else textwrap.wrap(line, WIDTH, subsequent_indent="  " * line.startswith("- "), break_on_hyphens=False)
        )
    ]
    return "\n".join(wrapped).rstrip() + "\n"


def _when(found: Mapping[str, Found], machine: Machine) -> Iterator[str]:
    cells = [cell for each in found.values() for cell in each.cells.values()]
    times = sorted(cell.at for cell in cells)
    if not times:
        yield "Nothing has been measured yet."
        return
    quick = " **A quick run: its figures say little.**" if any(cell.quick for cell in cells) else ""
    yield (
        f"Measured from {times[0]} to {times[-1]} on {machine.cpus} shared processors ({machine.processor}), "
        f"{machine.memory_gib} GiB, {machine.system}.{quick}"
    )


def _failures(found: Mapping[str, Found]) -> Iterator[str]:
    for name, each in found.items():
        for (guarantee, row), cell in each.cells.items():
            if cell.error is not None:
                first = cell.error.splitlines()[0]
                yield f"- *{titles()[name]}, {guarantee}*, {row}: failed: {first}"


def _meaning(found: Mapping[str, Found]) -> Iterator[str]:
    yield from _compared(found, "join", "The join", "pairs a second")
    yield from _compared(found, "publish", "The publisher's work", "events a second")
    yield from _compared(found, "hop", "The whole way, exactly once", "events a second")
    yield from _crashes(found)
    yield (
        "- A peer is a library for one pipeline; none of them knows two models at once, a cutover at an exact offset, "
        "or evidence before a switch. What they do is what streambg's processes are made of: that is compared here."
    )
    yield (
        "- Kafka Streams scores in Java: for a model in Python it is no choice. The loop by hand is what streambg's "
        "scorer and publisher are measured against in `make bench`, too."
    )


def _best(found: Mapping[str, Found], name: str, row: Row) -> tuple[float, Guarantee] | None:
    speeds = [
        (float(figures["rate"]["per_second"]), guarantee)
        for guarantee in GUARANTEES
        if (figures := found[name].figures(guarantee, row)) is not None
    ]
    return max(speeds, default=None)


def _compared(found: Mapping[str, Found], row: Row, what: str, unit: str) -> Iterator[str]:
    """Our exactly-once figure beside each peer's best."""
    mine = found[ours.NAME].figures("exactly-once", row)
    if mine is None:
        return
    speed = float(mine["rate"]["per_second"])
    others = [(best, peer.title) for peer in PEERS if (best := _best(found, peer.name, row)) is not None]
    said = ", ".join(
        f"{speed / best:.1f} x {title} ({guarantee})" for (best, guarantee), title in sorted(others, reverse=True)
    )
    yield f"- {what}: streambg {speed:,.0f} {unit}: {said or 'nobody to compare with'}."


def _crashes(found: Mapping[str, Found]) -> Iterator[str]:
    exact, inexact = [], []
    for name, title in titles().items():
        for guarantee in GUARANTEES:
            figures = found[name].figures(guarantee, "crash")
            if figures is None:
                continue
            counted = figures["tally"]
            words = f"{title} ({guarantee})"
            if figures["ended"]:
                words += f", which ended by itself {figures['ended']} times and was started again"
            if counted["lost"] or counted["doubled"]:
                inexact.append(f"{words}: {counted['lost']:,} lost, {counted['doubled']:,} doubled")
            else:
                exact.append(words + (f", {figures['note']}" if figures.get("note") else ""))
    if exact:
        yield f"- Ten kills lost and doubled nothing in: {'; '.join(exact)}."
    if inexact:
        yield f"- They did in: {'; '.join(inexact)}."


def _peers(found: Mapping[str, Found]) -> Iterator[str]:
    for peer in PEERS:
        versions = sorted({cell.version for cell in found[peer.name].cells.values()})
        words = "; ".join(f"{guarantee} is `{own}`" for guarantee, own in peer.guarantees.items())
        yield f"**{peer.title}** {', '.join(versions) or peer.version()}: {words}. Settings: {peer.settings}."
        yield ""
        yield from (f"- {limit}" for limit in peer.cannot)
        yield ""
    yield f"**streambg** {ours.version()}. Its settings as they come: transactions of 50 ms, linger 5 ms."
