"""P21: a scorer that is fenced leaves, whatever form the client gives the news."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from streambg.errors import Fenced, SessionEnded
from streambg.scoring.site import ended


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (KafkaError.FENCED_INSTANCE_ID, "Broker: Static consumer fenced by other consumer with same group.instance.id"),
        (KafkaError._FENCED, "fenced"),
        # as the consumer of librdkafka 2.16 says it
        (
            KafkaError._FATAL,
            "Fatal error: Broker: Static consumer fenced by other consumer with same group.instance.id",
        ),
    ],
)
def test_P21_a_fenced_scorer_says_so_and_names_the_slot(code: int, reason: str) -> None:
    found = ended(KafkaError(code, reason))
    assert isinstance(found, Fenced)
    assert "--slot" in found.way_out


def test_P21_another_fatal_error_only_ends_the_session() -> None:
    assert isinstance(ended(KafkaError(KafkaError._FATAL, "Fatal error: Local: Inconsistent state")), SessionEnded)
