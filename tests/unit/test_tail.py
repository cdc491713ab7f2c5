"""P25: what counts as the tail of a partition's outcomes; on a broker in memory."""

from __future__ import annotations

from typing import Any

import pytest
from simulation.bench import CALL_S, producer
from simulation.quiet import Quiet

from streambg.kafka import profiles
from streambg.publishing.resume import Tail
from streambg.publishing.tail import read_tails
from streambg.records.outcome import HEADER, DeadLetter, encode_dead_letter, header_template
from streambg.records.source import Source


class Outcomes(Quiet):
    """An output and its dead letters."""

    def __init__(self) -> None:
        super().__init__("t.")
        self.output, self.letters = self.create("out", 1), self.create("letters", 1)
        bench: Any = self  # with the simulator's clients
        self._producer = producer(bench, "publisher")

    def publish(self, offset: int, epoch: int, why: bytes) -> None:
        header = header_template("in", 0, "blue", "m:1", "sha256:ab12cd34", epoch) % (offset, why)
        self._producer.begin_transaction()
        self._producer.produce(self.output, b"v", None, 0, headers=[(HEADER, header)])
        self._committed()

    def bury(self, offset: int, epoch: int) -> None:
        letter = DeadLetter(Source("in", 0, offset), epoch, "blue", {"blue": "why", "green": "none"})
        self._producer.begin_transaction()
        self._producer.produce(self.letters, encode_dead_letter(letter), None, 0)
        self._committed()

    def _committed(self) -> None:
        self._producer.flush(CALL_S)
        self._producer.commit_transaction(CALL_S)
        self.look()

    def tail(self, floor: int = -1, begin: int = 0) -> Tail | None:
        config = profiles.reader(self.pipeline, "r")
        return read_tails(config, self.output, self.letters, {0: floor}, {0: begin}, self.clients)[0]


@pytest.fixture
def outcomes() -> Outcomes:
    return Outcomes()


def test_P25_the_tail_is_the_last_of_outputs_and_dead_letters(outcomes: Outcomes) -> None:
    assert outcomes.tail() is None
    outcomes.publish(7, 1, b"route")
    assert outcomes.tail() == Tail(7, 1)
    outcomes.bury(9, 2)
    assert outcomes.tail() == Tail(9, 2)
    assert outcomes.tail(floor=2) == Tail(9, 2)
    assert outcomes.tail(floor=3) is None, "all of them are of an earlier topic"


def test_P25_superseding_records_are_no_tail(outcomes: Outcomes) -> None:
    outcomes.publish(7, 1, b"route")
    outcomes.publish(3, 4, b"supersedes")
    outcomes.publish(99, 4, b"supersedes")
    assert outcomes.tail() == Tail(7, 1)


def test_P25_what_stands_below_the_first_deploys_word_is_no_tail(outcomes: Outcomes) -> None:
    """Perhaps an earlier pipeline's, with source positions of the same input."""
    outcomes.publish(700, 9, b"route")
    end = 2  # the record and its transaction's marker
    assert outcomes.tail(begin=end) is None
    outcomes.publish(5, 0, b"route")
    assert outcomes.tail(begin=end) == Tail(5, 0)
