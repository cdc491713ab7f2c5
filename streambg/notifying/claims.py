"""Who tells a notice where several controllers run: the first that says so in Redis."""

from __future__ import annotations

import structlog

from streambg.config import Pipeline
from streambg.notifying.sender import Claim, Sender, Where

# Far longer than any controller looks back (NEWS_MS in rollout/controller.py).
TTL_S = 7 * 86_400
# Redis is on the way of nothing: where it does not answer the notice is told, if need be twice.
TIMEOUT_S = 1.0

log = structlog.get_logger("streambg.notify")


def sender(pipeline: Pipeline) -> Sender:
    """As the pipeline file says; nothing is told where it has no `notify`."""
    notify = pipeline.notify
    where = Where(
        notify.webhook.get_secret_value() if notify.webhook else None,
        notify.secret.get_secret_value() if notify.secret else None,
        notify.command,
        notify.severity,
    )
    if not (where.webhook or where.command):
        return Sender(where)
    return Sender(where, claim_in(pipeline.redis, pipeline.name))


def claim_in(address: str, pipeline: str) -> Claim:
    """True for the first that claims an id, and for everybody while Redis does not answer."""
    import redis  # noqa: PLC0415 - a quarter of a second of the controller's start, and most pipelines tell nobody

    client = redis.Redis.from_url(address, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)

    def claim(name: str) -> bool:
        try:
            return bool(client.set(f"{pipeline}:notice:{name}", b"1", nx=True, ex=TTL_S))
        except (redis.RedisError, OSError) as error:
            log.debug("claim_unknown", why=str(error))
            return True

    return claim
