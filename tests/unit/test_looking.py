"""Looks at partitions while the broker has trouble: what the client raises is told as what it means."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from confluent_kafka import KafkaError, KafkaException

from consumers import options
from streambg.errors import Misconfigured, StreambgError, Unreachable
from streambg.kafka import looking
from streambg.kafka.looking import Look


class Troubled:
    """A consumer whose broker refuses everything with one error."""

    code = KafkaError.KAFKA_STORAGE_ERROR

    def __init__(self, _config: object) -> None:
        self.closed = False

    def _refuse(self, *_: object) -> NoReturn:
        raise KafkaException(KafkaError(self.code))

    get_watermark_offsets = consume = assign = _refuse

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("code", "kind"),
    [(KafkaError.KAFKA_STORAGE_ERROR, Unreachable), (KafkaError.UNKNOWN_TOPIC_OR_PART, Misconfigured)],
)
@pytest.mark.parametrize("ask", [lambda look: look.ends("t", 3), lambda look: look.read_on({("t", 3): 0})])
def test_a_brokers_trouble_is_told_as_ours(
    ask: Callable[[Look], Any], code: int, kind: type[StreambgError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "Consumer", Troubled)
    monkeypatch.setattr(Troubled, "code", code)
    with pytest.raises(kind) as caught, Look({}) as look:
        ask(look)
    assert caught.value.what.startswith(("asking for the ends of t/3: ", "reading t: "))


def test_a_process_that_starts_beside_a_full_disk_waits_for_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """It had ended with a traceback: a scorer that began while the broker's disk was full."""
    tried: list[str] = []

    def check(*_: object) -> None:
        tried.append("check")
        if len(tried) == 1:
            monkeypatch.setattr(looking, "Consumer", Troubled)
            with Look({}) as look:
                look.ends("t", 0)

    monkeypatch.setattr(options.topicplan, "connect", lambda _: None)
    monkeypatch.setattr(options.topicplan, "check", check)
    options._await_topics(None, "scorer.green")  # type: ignore[arg-type]  # what stands in asks it nothing
    assert tried == ["check", "check"]


def test_what_no_part_of_a_process_names_ends_it_with_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(*_: object) -> NoReturn:
        raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))

    left: list[int] = []
    monkeypatch.setattr(options, "load", load)
    monkeypatch.setattr(options, "leave", left.append)
    monkeypatch.setattr(options.logs, "configure", lambda *_, **__: None)
    monkeypatch.setattr(options.WATCH, "start", lambda: None)
    options.run(
        "publisher", argparse.Namespace(pipeline=Path("pipeline.yaml"), log="auto", ignore_record=[]), lambda *_: 0
    )
    assert left == [Misconfigured.exit_code]
    assert "streambg topics apply" in capsys.readouterr().err
