"""C1, KAFKA-17754 on a real broker: what an EndTxn does that arrives in a later transaction, and what keeps it off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chaos.proxy import END_TXN, Fault, Proxy
from chaos.running import proxied_broker
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from raw_topics import visible
from waiting import until

from streambg.servers.ports import HOST

pytestmark = pytest.mark.integration

Servers = tuple[str, Proxy]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with proxied_broker(0) as (bootstrap, parts):
        yield bootstrap, parts["proxy"]


def _producer(proxy: Proxy, name: str) -> Producer:
    """One that asks again by itself after a second, as any does after its socket.timeout.ms."""
    producer = Producer(
        {
            "bootstrap.servers": f"{HOST}:{proxy.port}",
            "transactional.id": name,
            "socket.timeout.ms": 1_000,
            "retry.backoff.ms": 100,
            "linger.ms": 0,
            "log_level": 0,
        }
    )
    producer.init_transactions(20)
    return producer


def _write(producer: Producer, topic: str, value: bytes) -> None:
    producer.begin_transaction()
    producer.produce(topic, value, partition=0)
    assert producer.flush(10) == 0


def _late_end(servers: Servers, name: str, *, new_producer: bool) -> list[bytes | None]:
    """What readers see of a first transaction that was committed, and of a second one that was aborted."""
    bootstrap, proxy = servers
    topic = name
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)
    producer = _producer(proxy, name)
    _write(producer, topic, b"first, committed")
    late = proxy.set(Fault(frozenset({END_TXN}), hold=True, limit=1))
    producer.commit_transaction(30)  # the client asks a second time, and says nothing of it
    assert late.held == 1
    if new_producer:
        producer = _producer(proxy, name)
    _write(producer, topic, b"second, aborted")
    assert _seen(bootstrap, topic) == [b"first, committed"]
    proxy.lift(late)
    if new_producer:
        producer.abort_transaction(10)
    else:
        until(lambda: len(_seen(bootstrap, topic)) > 1, 10, "the late EndTxn commits what it was not meant for")
        with pytest.raises(KafkaException, match=r"."):
            producer.abort_transaction(10)
    _write(after := _producer(proxy, f"{name}.after"), topic, b"third, committed")
    after.commit_transaction(10)
    until(lambda: b"third, committed" in _seen(bootstrap, topic), 10, "nothing holds readers up")
    return _seen(bootstrap, topic)


def _seen(bootstrap: str, topic: str) -> list[bytes | None]:
    return [message.value() for message in visible(bootstrap, topic, 1)]


def test_C1_without_a_new_producer_an_aborted_transaction_becomes_visible(servers: Servers, unique: str) -> None:
    """I5 is broken: this is why P21 distrusts a commit that took long or saw trouble."""
    assert _late_end(servers, unique, new_producer=False) == [
        b"first, committed",
        b"second, aborted",
        b"third, committed",
    ]


def test_P21_a_new_producer_of_the_same_id_keeps_the_late_end_off(servers: Servers, unique: str) -> None:
    assert _late_end(servers, unique, new_producer=True) == [b"first, committed", b"third, committed"]
