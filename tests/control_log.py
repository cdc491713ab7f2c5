"""A control log in memory: tests say commands, the fold says what became of them."""

from __future__ import annotations

import json
import time
from typing import Any

from streambg.control.commands import format_of
from streambg.control.fold import ControlFold, Entry
from streambg.control.follower import Snapshot
from streambg.control.state import ControlState

RULES = json.dumps({"outputs": ["anomaly"], "decision": {"output": "anomaly", "threshold": 0.5}})


def digest(model: str) -> str:
    return "sha256:" + (model.encode().hex() * 64)[:64]


class Log:
    """Appends records, folds them at once, and keeps the bytes for a second fold."""

    def __init__(self) -> None:
        self.fold = ControlFold()
        self.records: list[tuple[int, bytes]] = []

    def raw(self, value: bytes, appended_ms: int = 1_000) -> Entry:
        self.records.append((appended_ms, value))
        return self.fold.step(len(self.records) - 1, appended_ms, value)

    def say(self, verb: str, *, epoch: int | None = None, id: str | None = None, **args: Any) -> Entry:
        expected = self.fold.state.epoch if epoch is None else epoch
        return self.raw(envelope(verb, expected, id or f"c{len(self.records)}", **args))

    def deploy(self, color: str, model: str, **more: Any) -> Entry:
        epoch = more.pop("epoch", None)
        rules = more.pop("rules", RULES)
        return self.say("deploy", epoch=epoch, color=color, model=model, digest=digest(model), rules=rules, **more)


def two_colors() -> Log:
    log = Log()
    assert log.deploy("blue", "m:1", start={"0": 5}).accepted
    assert log.deploy("green", "m:2").accepted
    return log


def envelope(verb: str, expected: int, id: str, *, time: int = 1_000, **args: Any) -> bytes:
    return json.dumps(
        {
            "format": format_of(verb, args),
            "id": id,
            "verb": verb,
            "actor": "test",
            "reason": "",
            "time": time,
            "expected_epoch": expected,
            "args": args,
        }
    ).encode()


class Follower:
    """A follower whose view was fresh `age` seconds ago."""

    def __init__(self, age: float) -> None:
        self._snapshot = Snapshot(ControlState(), -1, time.monotonic() - age)

    def snapshot(self) -> Snapshot:
        return self._snapshot
