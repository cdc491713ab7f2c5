"""Real servers for the tests, one of each a session (with `-n`: a worker); without them the tests fail and say why."""

from __future__ import annotations

import itertools
import os
import re
import signal
from collections.abc import Iterator

import pytest
from workers import Scheduling
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from streambg.servers import start


def pytest_configure() -> None:
    """A shell's background job ignores Ctrl-C, and hands that on to all that it starts: tests press it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The bootstrap address of a real broker (`STREAMBG_TEST_BOOTSTRAP`, else one of our own)."""
    with start(bootstrap=os.environ.get("STREAMBG_TEST_BOOTSTRAP"), redis=False) as servers:
        assert servers.bootstrap is not None
        yield servers.bootstrap


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The address of a real Redis (`STREAMBG_TEST_REDIS`, else one of our own)."""
    with start(redis_url=os.environ.get("STREAMBG_TEST_REDIS"), kafka=False) as servers:
        assert servers.redis_url is not None
        yield servers.redis_url


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Asked by xdist, under `-n`."""
    return Scheduling(config, log)


_counter = itertools.count(1)


@pytest.fixture
def unique(request: pytest.FixtureRequest, worker_id: str) -> str:
    """A prefix for topics, groups and keys that no other test of the session uses; it names the test."""
    name = re.sub(r"[^a-zA-Z0-9-]+", "-", request.node.name).strip("-")[:60]
    return f"{name}-{worker_id}-{next(_counter)}"
