"""P24: what is done about transactions that the broker forgot to end; the broker is made of answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streambg.publishing import forgotten, tail
from streambg.publishing.fencing import KEY
from streambg.publishing.forgotten import Forgotten, ending_forgotten, require_outcomes
from streambg.publishing.resume import NOTHING_LEFT

SITE: Any = SimpleNamespace(
    output="out", dead_letters="dead", cutovers="cuts", group="publisher", transactional_id="p.0", clients=None
)
ADMIN: Any = None
POSITION = TopicPartition("predictions", 0)


@pytest.mark.parametrize(
    ("stable", "hides", "raises", "alarms"),
    [
        (50, 7, True, 0),  # above settled: nobody may ever see it
        (50, NOTHING_LEFT, True, 0),
        (50, 6, False, 1),  # settled covers it: it was decided for
        (50, -6, False, 0),  # the same behind somebody else's
        (50, -7, True, 0),  # nobody can say whether it is decided
        (50, None, False, 0),  # nothing of this pipeline
        (9, 7, False, 0),  # of before this pipeline began at 10
    ],
)
def test_P24_only_outcomes_above_settled_are_ended(
    stable: int, hides: int | None, raises: bool, alarms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgotten, "_open", lambda *_: {("out", 0): (stable, 99)})
    found = (hides is not None and hides > 0, None if hides is None else abs(hides))
    monkeypatch.setattr(forgotten, "_hidden", lambda *_: found)
    said: list[str] = []
    if raises:
        with pytest.raises(Forgotten, match=f"out/0: .* hides log offset {stable} on: the broker forgot to end it"):
            require_outcomes(SITE, ADMIN, {0: 6}, {0: 10}, {0: 0}, 5.0, said.append)
    else:
        require_outcomes(SITE, ADMIN, {0: 6}, {0: 10}, {0: 0}, 5.0, said.append)
    assert len(said) == alarms


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
    """Records from log offset 10 on: an outcome of a source offset, `FENCE`, or `STRANGER`."""

    def __init__(self, *records: int) -> None:
        self.records = records
        self.starts: list[int] = []
        self.closed = 0

    def read_on(self, _consumer: object, spots: dict[Any, int], _timeout: float, limit: int, **_: object) -> list[Any]:
        [at] = spots.values()
        self.starts.append(at)
        found = range(at, min(at + limit, 10 + len(self.records)))
        return [_message(offset, self.records[offset - 10]) for offset in found]

    def close(self) -> None:
        self.closed += 1


FENCE, STRANGER = -1, -2


def _message(at: int, source: int) -> Any:
    header = (
        b"nothing of ours" if source == STRANGER else f"in/0@{source} blue m:1 sha256:00000000 epoch=3 route".encode()
    )
    return SimpleNamespace(
        offset=lambda: at,
        key=lambda: KEY if source == FENCE else b"k",
        value=lambda: None if source == FENCE else b"v",
        headers=lambda: [("streambg", header)],
    )


@pytest.mark.parametrize(
    ("records", "floor", "hides"),
    [
        ((90, 91, 92, 93, 94), 3, (True, 94)),
        ((90, 91, 92, 93, 94), 4, (False, None)),  # another pipeline's, of before
        ((90, STRANGER, 91), 3, (True, 91)),
        ((STRANGER, 91, 90), 3, (False, 91)),
        ((90, 91, 92, FENCE), 3, (True, NOTHING_LEFT)),
        ((STRANGER, FENCE), 3, (False, NOTHING_LEFT)),
        ((), 3, (False, None)),  # markers only
    ],
)
def test_P24_whose_transaction_hides_what(
    records: tuple[int, ...], floor: int, hides: tuple[bool, int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In pages, and not beyond the end as it was: who goes on writing there must not keep a publisher from starting."""
    log = Log(*records)
    warned: list[str] = []
    monkeypatch.setattr(forgotten, "PAGE", 2)
    monkeypatch.setattr(forgotten, "read_on", log.read_on)
    monkeypatch.setattr(tail, "log", SimpleNamespace(warning=lambda event, **_: warned.append(event)))
    clients = SimpleNamespace(consumer=lambda _: log)
    site: Any = SimpleNamespace(reader={}, dead_letters="dead", clients=clients)
    assert forgotten._hidden(site, ("out", 0), (10, 15), floor) == hides
    assert max(log.starts) < 15
    assert log.closed == 1
    assert warned == [], "a line for each of millions"
