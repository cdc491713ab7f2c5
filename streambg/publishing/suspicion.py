"""When a transaction's fate may differ from what the client said: signs of trouble with a coordinator (P21).

librdkafka has no transactions v2, so a retried EndTxn can commit silently twice (KAFKA-17754): a session that saw
such a sign is not trusted with another transaction.
"""

from __future__ import annotations

import logging

# librdkafka's facilities for a lost connection and for a request without an answer
_SIGNS = ("FAIL", "REQTMOUT")
_BOOTSTRAP = "/bootstrap"
# A consumer's lines name it so. Of its connections only the one to the group's coordinator plays a part in a
# transaction; what is fetched twice, or not at all, shows by its offset (P23).
_CONSUMER, _COORDINATOR = "#consumer-", "GroupCoordinator"


class TroubleLog(logging.Handler):
    """Takes librdkafka's log lines and error callbacks; `signs` are those since `forget`.

    Lines arrive while the client is polled, so poll both clients before asking. `forget` once, when a session has
    found its brokers: librdkafka writes an identical line only once in 30 s, so one forgotten later would silence
    the next. Connections of the bootstrap address carry no transaction; brokers close them when idle.
    """

    def __init__(self, name: str) -> None:
        super().__init__(logging.DEBUG)
        self.signs: list[str] = []
        self.logger = logging.getLogger(f"streambg.librdkafka.{name}")
        self.logger.setLevel(logging.DEBUG)
        self.logger.propagate = False
        self.logger.handlers = [self]

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith(_SIGNS) and not (_CONSUMER in text and _COORDINATOR not in text):
            self._note(text)

    def error(self, error: object) -> None:
        """For a producer's `error_cb`."""
        self._note(str(error))

    def consumer_error(self, error: object) -> None:
        """For a consumer's."""
        if _COORDINATOR in str(error):
            self._note(str(error))

    def _note(self, text: str) -> None:
        if _BOOTSTRAP not in text:
            self.signs.append(text[:200])

    def forget(self) -> None:
        self.signs.clear()


def suspicion(slow_s: float, signs: list[str], limit_s: float) -> str | None:
    """Why the session must end before its next transaction; None where nothing speaks against it.

    What takes longer than `limit_s` may have been retried inside the client.
    """
    if slow_s > limit_s:
        return f"a transactional call took {slow_s:.1f} s, the limit is {limit_s:g} s"
    if signs:
        return f"trouble with a broker since the session began: {signs[0]}"
    return None
