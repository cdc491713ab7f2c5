"""Transactional calls, made beside the thread that waits for them: some never return, whatever their timeout (P21).

librdkafka does not look at the timeout of a request to the group's coordinator (librdkafka issue 5456): where the
connection to it broke under `send_offsets_to_transaction`, that stood for minutes. Nothing can end a thread. But all
that the call holds is a producer which its session throws away in any case, and what that one may still send is refused
once the next one has called `init_transactions`. So the thread is left behind with it, and the session is over.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread

import structlog
from confluent_kafka import KafkaError, KafkaException

from streambg.errors import Hung

# A call that keeps its timeout comes back this much later at most, on two cores with more to do (0.2 s were seen).
LATE_S = 0.5
# Each of these holds a producer: four threads, and the records of one transaction. Where a link breaks a connection
# every second, one in ten sessions leaves one behind (row C7); a new process costs two seconds.
MOST_LEFT = 10

log = structlog.get_logger("streambg.process")

_left: list[Thread] = []  # changed by the thread that makes the calls, of which a process has one


def beside(name: str, timeout_s: float, call: Callable[[], None], left: Callable[[], None]) -> None:
    """Raises what `call` raises. Where it has not returned by its timeout `left()` is called, and a KafkaException
    (_TIMED_OUT) raised; or Hung, where too many are left behind already.
    """
    answer: Future[None] = Future()
    thread = Thread(target=_run, args=(call, answer), name=name, daemon=True)
    thread.start()
    try:
        answer.result(timeout_s + LATE_S)
    except TimeoutError:
        left()
        _left[:] = [each for each in (*_left, thread) if each.is_alive()]
        what = f"{name} has not returned within {timeout_s + LATE_S:g} s"
        log.warning("left_behind", what=what, calls=len(_left))
        if len(_left) > MOST_LEFT:
            raise Hung(
                f"{what}, nor have {len(_left) - 1} such calls before, the limit is {MOST_LEFT}",
                way_out="the process ends; start it again",
            ) from None
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, what)) from None


def _run(call: Callable[[], None], answer: Future[None]) -> None:
    try:
        call()
    except BaseException as error:
        answer.set_exception(error)
    else:
        answer.set_result(None)
