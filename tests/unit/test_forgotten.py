"""P24: what is done about transactions that the broker forgot to end; the broker is made of answers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streambg.errors import SessionEnded, Unreachable
from streambg.publishing import forgotten, tail
from streambg.publishing.fencing import KEY
from streambg.publishing.forgotten import CALL_TIMEOUT_S, Forgotten, Undecided, ending_forgotten, require_outcomes
from streambg.publishing.resume import NOTHING_LEFT

SITE: Any = SimpleNamespace(
    output="out", dead_letters="dead", cutovers="cuts", group="publisher", transactional_id="p.0", clients=None
)
ADMIN: Any = None
POSITION = TopicPartition("predictions", 0)
TOLD = (3, 91)  # superseded up to here, by the command at epoch 3


ENDED = "out/0: a transaction that nobody ends hides log offset 50 on: the broker forgot to end it"
NOT_OURS = "out/0: somebody else's open transaction hides log offset {} on, and nobody can say which .* are decided"


@pytest.mark.parametrize(
    ("stable", "hides", "raises", "alarms"),
    [
        (50, 7, ENDED, 0),  # above settled: nobody may ever see it
        (50, NOTHING_LEFT, ENDED, 0),
        (50, 6, None, 1),  # settled covers it: it was decided for
        (50, -6, None, 0),  # the same behind somebody else's
        (50, -7, NOT_OURS.format(50), 0),  # nobody can say whether it is decided
        (50, None, None, 0),  # nothing of this pipeline
        (9, 7, NOT_OURS.format(9), 0),  # behind one of before this pipeline began at 10
        (9, 6, None, 0),
        (9, None, None, 0),
    ],
)
def test_P24_only_outcomes_above_settled_are_ended(
    stable: int, hides: int | None, raises: str | None, alarms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Any] = []

    def hidden(_site: object, _spot: object, between: tuple[int, int], *_: object) -> tuple[bool, int | None]:
        looked.append(between)
        return hides is not None and hides > 0, None if hides is None else abs(hides)

    monkeypatch.setattr(forgotten, "_open", lambda *_: {("out", 0): (stable, 99)})
    monkeypatch.setattr(forgotten, "_hidden", hidden)
    said: list[str] = []
    if raises:
        with pytest.raises(SessionEnded, match=raises) as ended:
            require_outcomes(SITE, ADMIN, {0: 6}, {0: TOLD}, {0: 10}, {0: 0}, 5.0, said.append)
        assert isinstance(ended.value, Forgotten) == (raises == ENDED), "no fencing of ours ends somebody else's"
    else:
        require_outcomes(SITE, ADMIN, {0: 6}, {0: TOLD}, {0: 10}, {0: 0}, 5.0, said.append)
    assert len(said) == alarms
    assert looked == [(max(stable, 10), 99)], "what stands below the pipeline's beginning is not read"


def test_P24_who_came_to_life_meanwhile_is_not_fenced(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[set[str]] = []
    monkeypatch.setattr(forgotten, "members", lambda *_: {"p.0", "p.1"})
    monkeypatch.setattr(forgotten, "_everywhere", lambda *_: [])
    monkeypatch.setattr(forgotten, "leave_open", lambda _site, ids, *_: left.append(set(ids)))
    said: list[str] = []
    with (
        pytest.raises(Forgotten),
        ending_forgotten(SITE, ADMIN, {"p.0", "p.1", "p.2"}, POSITION, said.append),
    ):
        raise Forgotten("positions are pending")
    assert left == [{"p.0", "p.2"}], "its own, which is the asker's, and the dead one"
    assert said == ["positions are pending: the broker forgot to end it"]


def test_P24_somebody_elses_transaction_is_told_and_nobody_is_fenced_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgotten, "leave_open", lambda *_: pytest.fail("it ends nothing"))
    said: list[str] = []
    with pytest.raises(Undecided), ending_forgotten(SITE, ADMIN, {"p.0"}, POSITION, said.append):
        raise Undecided(("out", 0), 50)
    assert "out/0: somebody else's open transaction hides log offset 50 on" in said[0]


def test_P24_what_could_not_be_left_open_is_not_called_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))

    warned: list[str] = []
    monkeypatch.setattr(forgotten, "members", lambda *_: set())
    monkeypatch.setattr(forgotten, "_everywhere", lambda *_: [])
    monkeypatch.setattr(forgotten, "leave_open", fails)
    monkeypatch.setattr(forgotten, "log", SimpleNamespace(warning=lambda event, **_: warned.append(event)))
    with pytest.raises(Forgotten), ending_forgotten(SITE, ADMIN, {"p.0"}, POSITION, lambda _text: None):
        raise Forgotten("positions are pending")
    assert warned == []


class Log:
    """Records from log offset 10 on: an outcome of a source offset, superseding where negative; `FENCE`, `STRANGER`."""

    def __init__(self, *records: int) -> None:
        self.records = records
        self.at = 0
        self.closed = 0

    def assign(self, positions: list[TopicPartition]) -> None:
        [position] = positions
        self.at = position.offset

    def consume(self, _count: int, _timeout: float) -> list[Any]:
        """Two at a time."""
        found = range(self.at, min(self.at + 2, 10 + len(self.records)))
        self.at += len(found)
        return [_message(offset, self.records[offset - 10]) for offset in found] or [_end(self.at)]

    def close(self) -> None:
        self.closed += 1


FENCE, STRANGER = -1, -2


def _message(at: int, source: int) -> Any:
    why = "route" if source > 0 else "supersedes"
    header = f"in/0@{abs(source)} blue m:1 sha256:00000000 epoch=3 {why}".encode()
    header = b"nothing of ours" if source == STRANGER else header
    return SimpleNamespace(
        error=lambda: None,
        offset=lambda: at,
        key=lambda: KEY if source == FENCE else b"k",
        value=lambda: None if source == FENCE else b"v",
        headers=lambda: [("streambg", header)],
    )


def _end(at: int) -> Any:
    return SimpleNamespace(error=lambda: KafkaError(KafkaError._PARTITION_EOF), offset=lambda: at)


@pytest.mark.parametrize(
    ("records", "floor", "hides"),
    [
        ((90, 91, 92, 93, 94), 3, (True, 94)),
        ((90, 91, 92, 93, 94), 4, (False, None)),  # another pipeline's, of before
        ((90, STRANGER, 91), 3, (True, 91)),
        ((STRANGER, 91, 90), 3, (False, 91)),
        ((90, 91, 92, FENCE), 3, (True, NOTHING_LEFT)),
        ((STRANGER, FENCE), 3, (False, NOTHING_LEFT)),
        ((-90, -91), 3, (True, 91)),  # superseding, and told of: decided for
        ((-90, -91, -92), 3, (True, NOTHING_LEFT)),
        ((), 3, (False, None)),  # markers only
    ],
)
def test_P24_whose_transaction_hides_what(
    records: tuple[int, ...], floor: int, hides: tuple[bool, int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not beyond the end as it was: who goes on writing there must not keep a publisher from starting."""
    log = Log(*records)
    warned: list[str] = []
    monkeypatch.setattr(tail, "log", SimpleNamespace(warning=lambda event, **_: warned.append(event)))
    assert forgotten._hidden(reading(log), ("out", 0), (10, 15), floor, TOLD) == hides
    assert log.at <= 16
    assert log.closed == 1
    assert warned == [], "a line for each of millions"


def test_P24_a_reader_waits_for_what_comes_however_long_all_of_it_takes() -> None:
    """One that hears nothing any more does not."""
    log, times = Log(*range(90, 140)), count(0.0, CALL_TIMEOUT_S / 2)
    assert forgotten._hidden(reading(log, lambda: next(times)), ("out", 0), (10, 60), 3, TOLD) == (True, 139)
    silent = Log(90, 91)
    silent.consume = lambda _count, _timeout: []  # type: ignore[method-assign] # says nothing
    with pytest.raises(Unreachable, match="out/0: nothing came from log offset 10 on for 5 s"):
        forgotten._hidden(reading(silent, lambda: next(times)), ("out", 0), (10, 60), 3, TOLD)
    assert silent.closed == 1


def reading(log: Log, now: Callable[[], float] = lambda: 0.0) -> Any:
    clients = SimpleNamespace(consumer=lambda _: log, now=now)
    return SimpleNamespace(reader={}, dead_letters="dead", clients=clients)
