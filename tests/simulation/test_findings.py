"""What the simulator found, each as the few steps that show it."""

from __future__ import annotations

import pytest

from simulation.bench import producer, put
from simulation.quiet import Quiet
from streambg.errors import Unreachable
from streambg.kafka import profiles
from streambg.publishing import tail
from streambg.publishing.tail import read_cutovers
from streambg.records.cutover import Cutover, encode_cutover

MINE = Cutover(1, 8, 19, "topic", "cluster")


class Hidden(Quiet):
    """A cutover that is committed behind the open transaction of another publisher, which ends at `ends_at`."""

    def __init__(self, ends_at: float) -> None:
        super().__init__("t.")
        self.topic = self.create("cutovers", 1)
        self._ends_at = self.now + ends_at
        self._other, own = producer(self, "other"), producer(self, "own")
        self._other.begin_transaction()
        put(self._other, self.topic, "not committed")
        own.begin_transaction()
        put(own, self.topic, encode_cutover(MINE).decode())
        own.commit_transaction()
        self.look()

    def tick(self, seconds: float) -> None:
        super().tick(seconds)
        if self.now >= self._ends_at:
            self._ends_at = float("inf")
            self._other.abort_transaction()
            self.wait(0)

    def read(self, *, complete: bool) -> dict[int, list[Cutover]]:
        return read_cutovers(profiles.reader(self.pipeline, "r"), self.topic, self.clients, complete=complete)


def test_P25_a_cutover_behind_an_open_transaction_is_waited_for() -> None:
    """Taken for missing it was written a second time, with another first offset."""
    assert Hidden(ends_at=1.0).read(complete=False) == {}
    assert Hidden(ends_at=1.0).read(complete=True) == {1: [MINE]}


def test_P24_a_transaction_that_stays_open_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "DEADLINE_S", 0.5)
    hidden = Hidden(ends_at=1.0)
    with pytest.raises(Unreachable, match="not read to the end within"):
        hidden.read(complete=True)
