"""A real broker with an authorizer: a plain listener for the test, which may do all, and one with logins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from streambg.servers import Launch, LocalKafka
from streambg.servers.ports import HOST, free_port

PASSWORD = "not-a-secret"


@dataclass(frozen=True)
class Secure:
    """Two addresses of one broker."""

    plain: str
    sasl: str


@contextmanager
def secure_broker(users: Iterable[str]) -> Iterator[Secure]:
    """`users` log in with PLAIN and PASSWORD; without ACLs they may do nothing."""
    broker = LocalKafka(port=free_port())
    sasl = free_port()
    logins = " ".join(f'user_{user}="{PASSWORD}"' for user in users)
    addresses = f"PLAINTEXT://{HOST}:{broker.port},SASL_PLAINTEXT://{HOST}:{sasl}"
    launch = Launch(
        overrides={
            "listeners": f"{addresses},CONTROLLER://{HOST}:{broker._controller_port}",
            "advertised.listeners": addresses,
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": (
                f"org.apache.kafka.common.security.plain.PlainLoginModule required {logins};"
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "allow.everyone.if.no.acl.found": "false",
        }
    )
    try:
        broker.start(launch)
        yield Secure(broker.bootstrap, f"{HOST}:{sasl}")
    finally:
        broker.close()
