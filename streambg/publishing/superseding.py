"""What a `supersede` asks of one partition: stored answers in, records out, exactly once (P36). Pure.

How far it has come is written with the records, in one transaction; so whoever takes the partition over goes on there.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from streambg.control.state import ControlState, Deployment, SupersededRange
from streambg.publishing.answers import Answers, Fetch, View
from streambg.publishing.outcomes import Header, Home, Records
from streambg.records.coverage import Coverage
from streambg.records.cutover import Superseded
from streambg.records.outcome import HEADER, header_template

# Above every deployment: other deployments' batches are passed, none is waited for (P12).
ALL_FOLDED = 2**62


@dataclass(frozen=True, slots=True)
class Progress:
    """The last command that was begun here: worked through up to source offset `upto`, with so many records written.

    recorded: False where nothing among the cutovers says so, and the next transaction has to.
    """

    epoch: int = -1
    upto: int = -1
    written: int = 0
    recorded: bool = True


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be done next: the rest of one range of one command."""

    epoch: int
    deployment: Deployment
    place: SupersededRange


class Stored:
    """The answers of one errand, folded as they are read (P8). low: where their log begins by now."""

    def __init__(self, errand: Errand, low: int) -> None:
        place = errand.place
        # what expired since is left out: the fold then begins with the first batch that is kept
        begin = Coverage(errand.deployment.id, place.covered if low <= place.answers_first else None)
        self.errand = errand
        self.next_offset = max(low, place.answers_first)
        self._answers = Answers(self.next_offset, begin)
        self._answers.control(errand.deployment.id, ALL_FOLDED)

    @property
    def rows(self) -> int:
        """How many wait."""
        return self._answers.rows

    @property
    def complete(self) -> bool:
        """Is all of it read?"""
        return self.next_offset >= self.errand.place.answers_end

    def offer(self, fetch: Fetch) -> None:
        """The next batch, in log order."""
        self.next_offset = fetch.log_offset + 1
        if fetch.log_offset < self.errand.place.answers_end:
            self._answers.offer(fetch)

    def skip(self, log_offset: int) -> None:
        """A record that is no batch."""
        self.next_offset = log_offset + 1

    def take(self, after: int, limit: int) -> Taken:
        """About `limit` rows for the source offsets above `after`, of the range alone."""
        place = self.errand.place
        view = self._answers.view(after, limit, None)
        all_of_it = self._answers.covered in (None, view.covered)
        last = place.end - 1
        upto = last if self.complete and all_of_it else max(after, min(view.covered, last))
        self._answers.settle(upto)
        inside = (view.offsets >= place.first) & (view.offsets <= upto)
        return Taken(view, np.flatnonzero(view.ok & inside).tolist(), int((~view.ok & inside).sum()), upto)


@dataclass(frozen=True, slots=True)
class Taken:
    """rows: which of the view's are answers to publish. errors: how many are error rows. upto: worked through to."""

    view: View
    rows: list[int]
    errors: int
    upto: int

    def records(self, errand: Errand, home: Home) -> Records:
        """As they go out: the stored bytes, and a header that names the command."""
        view, rows, deployment = self.view, self.rows, errand.deployment
        template = header_template(
            home.topic, home.partition, deployment.color, deployment.model, deployment.digest, errand.epoch
        )
        offsets = view.offsets.tolist()
        headers: list[list[Header]] = [[(HEADER, template % (offsets[row], b"supersedes"))] for row in rows]
        if view.forwarded is not None:
            for row, line in zip(rows, headers, strict=True):
                line.extend(view.forwarded[row])
        return Records(
            [view.values[row] for row in rows],
            [view.keys[row] for row in rows],
            headers,
            view.times[rows].tolist(),
            [],
            (),
            {(deployment.color, "supersedes"): len(rows)} if rows else {},
        )


class Superseding:
    """One partition's part of all `supersede` commands, one after the other in the order of epochs."""

    def __init__(self, home: Home, progress: Progress) -> None:
        self.progress = progress
        self._home = home
        self._todo: deque[Errand] = deque()

    def control(self, state: ControlState) -> None:
        """The commands that are folded by now."""
        self._todo = deque(
            Errand(command.epoch, command.deployment, place)
            for command in state.supersessions
            for place in command.of(self._home.partition)
            if not self._done(command.epoch, place)
        )

    def unrecorded(self) -> Superseded | None:
        """What the first transaction has to record; once."""
        progress = self.progress
        if progress.recorded:
            return None
        self.progress = replace(progress, recorded=True)
        return Superseded(self._home.partition, progress.epoch, progress.upto, progress.written)

    def _done(self, epoch: int, place: SupersededRange) -> bool:
        before = self.progress
        return epoch < before.epoch or (epoch == before.epoch and place.end - 1 <= before.upto)

    def errand(self, settled: int) -> Errand | None:
        """What is next; None where nothing is, or not all of it is settled yet. Asked with every turn of the loop."""
        while self._todo and self._done(self._todo[0].epoch, self._todo[0].place):
            self._todo.popleft()
        return self._todo[0] if self._todo and self._todo[0].place.end - 1 <= settled else None

    def advance(self, stored: Stored, limit: int) -> tuple[Records, Superseded] | None:
        """The next records of the errand, and what is written with them; None where nothing is read yet."""
        errand, before = stored.errand, self.progress
        begun = before.epoch == errand.epoch
        after = max(errand.place.first - 1, before.upto if begun else -1)
        taken = stored.take(after, limit)
        if taken.upto == after:
            return None
        written = (before.written if begun else 0) + len(taken.rows)
        self.progress = Progress(errand.epoch, taken.upto, written)
        note = Superseded(self._home.partition, errand.epoch, taken.upto, written)
        return taken.records(errand, self._home), note
