"""What a publisher's process gives its sessions."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from streambg.publishing import process
from streambg.publishing.process import Publisher


def test_P6_a_session_asks_for_the_control_log_that_the_process_began_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything folded counts, and whenever the session asks."""
    said: list[str] = []

    class Session:
        def __init__(self, _site: object, _follower: object, _meter: object, believe: Any) -> None:
            self.believe = believe

        def run(self, _stopping: object) -> None:
            said.append("run")
            self.believe()

    monkeypatch.setattr(process, "Session", Session)
    publisher: Any = object.__new__(Publisher)
    publisher._site, publisher._session = SimpleNamespace(), None
    publisher._topics = SimpleNamespace(require=lambda: said.append("the ids of before"), require_still=said.append)
    publisher._follower = SimpleNamespace(
        topic="p.control",
        snapshot=lambda: said.append("what ended the fold"),
        wait_caught_up=lambda _timeout: said.append("fold"),
    )
    publisher._place = SimpleNamespace(look=lambda: None, kept=lambda _session: nullcontext())
    publisher._one_session()
    assert said == ["the ids of before", "what ended the fold", "p.control", "fold", "run", "p.control"]
    said.clear()
    publisher._one_session()
    assert said == ["the ids of before", "fold", "run", "p.control"]
