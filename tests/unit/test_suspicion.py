"""P21: which signs of trouble cost a publisher its session."""

from __future__ import annotations

import logging

import pytest
from confluent_kafka import KafkaError

from streambg.publishing.suspicion import TroubleLog, suspicion

# as librdkafka 2.16 writes them, with the client's name in front
PRODUCER = "[p.publisher.0#producer-2] "
CONSUMER = "[p.publisher.0#consumer-1] "
LEADER = "[thrd:127.0.0.1:9092/1]: 127.0.0.1:9092/1: Disconnected (after 3ms in state UP)"
GROUP = "[thrd:GroupCoordinator]: GroupCoordinator: 127.0.0.1:9092: Disconnected (after 3ms in state UP)"
TRANSACTION = "[thrd:TxnCoordinator]: TxnCoordinator: 127.0.0.1:9092: 1 request(s) timed out"
BOOTSTRAP = "[thrd:127.0.0.1:9092/bootstrap]: 127.0.0.1:9092/bootstrap: Disconnected"


def signs(line: str) -> list[str]:
    log = TroubleLog("test")
    log.emit(logging.LogRecord("rdkafka", logging.WARNING, "", 0, line, None, None))
    return log.signs


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        (f"FAIL {PRODUCER}{LEADER}", True),
        (f"REQTMOUT {PRODUCER}{TRANSACTION}", True),
        (f"FAIL {CONSUMER}{GROUP}", True),
        (f"FAIL {CONSUMER}{LEADER}", False),
        (f"FAIL {PRODUCER}{BOOTSTRAP}", False),
        (f"FETCH {CONSUMER}{GROUP}", False),
    ],
)
def test_P21_lost_connections_count_where_they_play_a_part_in_a_transaction(line: str, counts: bool) -> None:
    assert signs(line) == ([line] if counts else [])


def test_P21_so_do_errors() -> None:
    log = TroubleLog("test")
    lost = KafkaError(KafkaError._TRANSPORT, "127.0.0.1:9092/1: Disconnected")
    log.consumer_error(lost)
    assert log.signs == []
    log.error(lost)
    log.consumer_error(KafkaError(KafkaError._TRANSPORT, "GroupCoordinator: 127.0.0.1:9092: Disconnected"))
    assert len(log.signs) == 2
    log.forget()
    assert suspicion(2.0, log.signs, 2.0) is None
    assert "a transactional call took 2.1 s, the limit is 2 s" in (suspicion(2.1, [], 2.0) or "")
