"""Local Kafka and Redis: for `streambg broker`, `up`, `demo` and the tests.

    with start() as servers:
        print(servers.bootstrap, servers.redis_url)

*Owned* servers (the default) end with this process, even when it is killed with -9: each has a guardian process
(guardian.py). *Detached* ones stay until `streambg broker stop` (detached.py). Fault tests use LocalKafka itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from streambg.errors import ConfigError
from streambg.servers import detached
from streambg.servers.cache import Progress, quiet
from streambg.servers.kafka_config import Launch
from streambg.servers.launching import RunningServer, Servers, Wanted, bring_up
from streambg.servers.local_kafka import LocalKafka
from streambg.servers.local_redis import LocalRedis
from streambg.servers.ways import CHOICES, Choice

__all__ = ["CHOICES", "Choice", "Launch", "LocalKafka", "LocalRedis", "RunningServer", "Servers", "start"]


def start(  # noqa: PLR0913 - all but the first are named by the caller
    choice: Choice = "auto",
    *,
    data_dir: Path | None = None,
    owned: bool = True,
    bootstrap: str | None = None,
    redis_url: str | None = None,
    kafka: bool = True,
    redis: bool = True,
    fast_start: bool = True,
    overrides: Mapping[str, str] | None = None,
    port: int | None = None,
    redis_port: int | None = None,
    progress: Progress = quiet,
) -> Servers:
    """Start what is not given, the first way that applies: Docker, else processes of this machine ("auto").

    `bootstrap`, `redis_url`: addresses of running servers, used as they are. `data_dir`: keeps the data (without it
    owned servers use temporary directories, gone at the end). `overrides`: properties of the broker. `port`,
    `redis_port`: else free ones. `progress` hears what takes long. `fast_start=False` for benchmarks.

    Returns when both answer. Raises ConfigError (port taken, unknown choice), Unreachable (no way applies, no answer)
    or StreambgError; then nothing is left running.
    """
    launch = Launch(overrides=dict(overrides or {}), fast_start=fast_start)
    if owned:
        wanted = Wanted(
            choice=choice,
            data_dir=data_dir,
            keeps_data=data_dir is not None,
            bootstrap=bootstrap,
            redis_url=redis_url,
            kafka=kafka,
            redis=redis,
            launch=launch,
            port=port,
            redis_port=redis_port,
        )
        return bring_up(wanted, progress)
    if bootstrap is not None or redis_url is not None or not (kafka and redis):
        raise ConfigError("detached servers are always both, of our own", way_out="owned=True, or give no addresses")
    state, _ = detached.start(
        data_dir, choice=choice, port=port, redis_port=redis_port, launch=launch, progress=progress
    )
    return detached.as_servers(state, data_dir)
