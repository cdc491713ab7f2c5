"""From a reader thread to the event loop and back: one piece of work is under way at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar, cast

from streambg.errors import SessionEnded

ANSWER_POLL_S = 0.2

Answer = TypeVar("Answer")


class Answered(Protocol[Answer]):
    """Work that somebody on the event loop answers."""

    @property
    def answer(self) -> Future[Answer]: ...


def hand_over(
    work: Answered[Answer],
    send: Callable[[Any], Awaitable[Any]],
    loop: asyncio.AbstractEventLoop,
    stopping: Callable[[], bool],
) -> Answer:
    """Blocks until the work is answered. Raises what went wrong there; SessionEnded where nobody takes it any more."""
    sent = asyncio.run_coroutine_threadsafe(cast("Any", send(work)), loop)
    while True:
        try:
            return work.answer.result(ANSWER_POLL_S)
        except TimeoutError:
            if stopping():
                raise SessionEnded("stopping") from None
            if sent.done() and (failure := sent.exception()) is not None:
                raise SessionEnded(f"the work was not taken: {failure}") from failure
