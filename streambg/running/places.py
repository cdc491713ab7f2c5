"""Where a pipeline's servers are: the ones its file names where they answer, else new ones on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from streambg import servers
from streambg.config import Pipeline, load
from streambg.errors import Unreachable
from streambg.kafka import profiles
from streambg.kafka.admin import await_reachable
from streambg.servers import Choice, Servers
from streambg.servers.cache import Progress
from streambg.servers.detached import elsewhere
from streambg.servers.ports import free_port, is_free

BOOTSTRAP, REDIS = "STREAMBG_BOOTSTRAP", "STREAMBG_REDIS"
# A server of this machine answers in milliseconds; one elsewhere in the time of a few round trips.
ANSWER_S = 2.0
# One that was asked for may be starting right now, or be far away.
ASKED_FOR_S = 5.0


def bring_servers(
    file: Path, environ: Mapping[str, str], choice: Choice, data_dir: Path | None, progress: Progress
) -> Servers:
    """The servers that the pipeline file names, where they answer; what does not answer is started, owned.

    An address that was given in the environment is never replaced: whoever gave it wants that server.
    Raises Unreachable where such a server does not answer, or where the file names one that cannot be replaced.
    """
    pipeline = load(file, environ)
    kafka_answers, redis_answers = _kafka_answers(pipeline, environ), _redis_answers(pipeline, environ)
    if not kafka_answers:
        _require_replaceable(file, environ, BOOTSTRAP, pipeline.kafka.bootstrap)
        if line := elsewhere(pipeline.kafka.bootstrap):
            progress(
                f"nothing answers at {pipeline.kafka.bootstrap}, so a broker is started here that ends with this; the "
                f"one of `streambg broker start` is used after: {line}"
            )
    if not redis_answers:
        _require_replaceable(file, environ, REDIS, pipeline.redis)
    return servers.start(
        choice,
        data_dir=data_dir,
        bootstrap=pipeline.kafka.bootstrap if kafka_answers else None,
        redis_url=pipeline.redis if redis_answers else None,
        progress=progress,
    )


def environment(started: Servers, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of processes that use these servers."""
    return {**environ, BOOTSTRAP: started.bootstrap or "", REDIS: started.redis_url or ""}


def ports(first: int, count: int) -> list[int]:
    """`count` free ports: `first` and those after it, another one for each that is taken."""
    return [port if is_free(port) else free_port() for port in range(first, first + count)]


def _kafka_answers(pipeline: Pipeline, environ: Mapping[str, str]) -> bool:
    """Raises where a broker that was asked for, or one that says no, is no reason to start another."""
    asked_for = bool(environ.get(BOOTSTRAP)) or bool(pipeline.kafka.client)
    try:
        await_reachable(profiles.admin(pipeline), ASKED_FOR_S if asked_for else ANSWER_S)
    except Unreachable:
        if asked_for:
            raise
        return False
    return True


def _redis_answers(pipeline: Pipeline, environ: Mapping[str, str]) -> bool:
    import redis  # noqa: PLC0415 - a quarter of a second of each verb's start, and few ask it

    client = redis.Redis.from_url(pipeline.redis, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S)
    with suppress(redis.RedisError):
        try:
            return bool(client.ping())
        finally:
            client.close()
    # a pipeline works without its live view; what was asked for is not replaced by something else in silence
    return bool(environ.get(REDIS))


def _require_replaceable(file: Path, environ: Mapping[str, str], variable: str, address: str) -> None:
    """Does the file take its address from the environment? Raises Unreachable where it does not."""
    probe = {BOOTSTRAP: "probe.invalid:1", REDIS: "redis://probe.invalid:1/0"}[variable]
    pipeline = load(file, {**environ, variable: probe})
    if probe not in (pipeline.kafka.bootstrap, pipeline.redis):
        raise Unreachable(
            f"nothing answers at the address that {file} names ({address}), and {variable} does not change it",
            way_out=f"start that server, or write ${{{variable}:-{address}}} so that one can be started here",
        )
