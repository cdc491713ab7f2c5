"""Epochs: what is stamped on the outcomes against what the cutovers say (P19, I3)."""

from __future__ import annotations

import numpy as np

from streambg.audit.columns import Column
from streambg.audit.history import NO_EPOCH, Line
from streambg.audit.sources import Role
from streambg.audit.tally import Kind, Tally


class Stamps:
    """Checks one partition's outcomes, epoch by epoch."""

    def __init__(self, line: Line, tally: Tally) -> None:
        self._line = line
        self._tally = tally
        self._opened: set[int] = set()  # epochs whose first outcome was seen
        self._accused: set[int] = set()  # epochs whose cutover record was found wrong

    def check(self, epoch: int, outputs: Column, letters: Column) -> tuple[Column, Column]:
        """`epoch` decides these, by the cutovers. Those that are stamped with it; the others are not judged further."""
        self._cutover_holds(epoch, outputs, letters)
        return self._stamped(epoch, "output", outputs), self._stamped(epoch, "dead-letters", letters)

    def _cutover_holds(self, epoch: int, outputs: Column, letters: Column) -> None:
        """The first outcome from a cutover on carries its epoch."""
        there = [column for column in (outputs, letters) if len(column)]
        if epoch == NO_EPOCH or epoch in self._opened or not there:
            return
        self._opened.add(epoch)
        first = min(there, key=lambda column: int(column.offsets[0]))
        said = int(first.epochs[0])
        if said != epoch:
            expected = f"epoch {epoch} from {self._line.first_of(epoch)} on, by its cutover"
            self._accuse(epoch, int(first.offsets[0]), expected, f"epoch {said}")

    def _stamped(self, epoch: int, role: Role, column: Column) -> Column:
        wrong = column.epochs != epoch
        for row in np.flatnonzero(wrong).tolist():
            offset, said = int(column.offsets[row]), int(column.epochs[row])
            expected = f"epoch {epoch}" if epoch != NO_EPOCH else "nothing: no cutover begins here or before"
            record = f"{role}/{self._tally.partition}@{column.log_offsets[row]}"
            self._tally.add(Kind.WRONG_EPOCH, offset, expected, f"epoch {said}", record)
            first = self._line.first_of(said)
            if first is None or first > offset:
                begins = "no record says so" if first is None else f"it begins at {first}"
                self._accuse(said, offset, f"the cutover of epoch {said}: {begins}", "an outcome stamped with it")
        return column.without(wrong)

    def _accuse(self, epoch: int, offset: int, expected: str, found: str) -> None:
        if epoch not in self._accused:
            self._accused.add(epoch)
            self._tally.add(Kind.CUTOVER, offset, expected, found)
