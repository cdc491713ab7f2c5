"""A control log, two predictions logs and one partition of the publisher that reads them, driven by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from control_log import Log
from predictions import fetched

from streambg.publishing.outcomes import Home, Records
from streambg.publishing.partition import Partition
from streambg.records.batch import Batch
from streambg.records.outcome import Outcome, decode_dead_letter, parse_header
from streambg.records.source import Color

HOME = Home("in", 3, "topic-id", "cluster-id")


class Bench:
    """Blue is deployment 0 and live, green deployment 1; `rule` goes into the rules that every deploy carries."""

    def __init__(self, *, green: bool = True, **rule: Any) -> None:
        self.log = Log()
        self.rules = json.dumps({"outputs": ["anomaly"], **rule})
        self.deploy("blue")
        if green:
            self.deploy("green")
        self.lengths: dict[Color, int] = {"blue": 0, "green": 0}
        self.partition = Partition(HOME, -1, -1, {"blue": (0, None), "green": (0, None)}, 0)
        self.now = 0.0
        self.control()

    def deploy(self, color: Color, **more: Any) -> int:
        """The deployment's id; the partition has not folded it yet."""
        entry = self.log.deploy(color, f"m:{len(self.log.records)}", rules=self.rules, **more)
        assert entry.accepted, entry.refusal
        return entry.offset

    def say(self, verb: str, **args: Any) -> int:
        """The epoch of a command that the partition has folded."""
        entry = self.log.say(verb, **args)
        assert entry.accepted, entry.refusal
        self.control()
        return entry.offset

    def control(self) -> None:
        self.partition.control(self.log.fold.state, self.log.fold.folded)

    def offer(self, color: Color, *batches: Batch) -> None:
        for batch in batches:
            self.partition.offer(color, fetched(self.lengths[color], batch, self.now))
            self.lengths[color] += 1

    def advance(self, limit: int = 1_000) -> Records:
        """One run; it must move."""
        records = self.partition.advance(limit)
        assert records is not None, f"nothing moved, it waits for {self.partition.waiting}"
        return records

    def everything(self, limit: int = 1_000) -> list[Records]:
        """All that can go out now."""
        found = []
        while (records := self.partition.advance(limit)) is not None:
            found.append(records)
        return found

    def words(self) -> list[str]:
        """All that can go out now, as `offset color why`; dead letters apart (`letters`)."""
        return words(self.everything())

    def fire(self, color: Color) -> None:
        """The deadline for `color` passes, its log has been read to the end."""
        deadline = self.partition.deadline()
        assert deadline is not None
        waiting, late, _ = deadline
        assert late == color
        self.partition.fire(waiting)


def outcome(headers: Sequence[tuple[str, str | bytes | None]]) -> Outcome:
    name, text = headers[0]
    assert name == "streambg"
    assert isinstance(text, bytes)
    return parse_header(text)


def words(runs: Sequence[Records]) -> list[str]:
    told = [outcome(headers) for records in runs for headers in records.headers]
    return [f"{one.source.offset} {one.color} {one.why}" for one in told]


def letters(runs: Sequence[Records]) -> list[tuple[int, str, Mapping[str, str]]]:
    """Dead letters as (offset, chosen color, reasons)."""
    found = [decode_dead_letter(data) for records in runs for _, data in records.dead_letters]
    return [(letter.source.offset, letter.chosen, letter.reasons) for letter in found]
