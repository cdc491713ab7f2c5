"""When a scorer's log says that a model fails: at the first error of a deployment, then once a minute."""

from __future__ import annotations

from dataclasses import replace

from predictions import answers

from streambg.records.batch import Batch
from streambg.scoring.failing import AGAIN_S, Failing, Fails


def failing(deployment: int, after: int, errors: int, reason: bytes = b"model raised ValueError: no") -> Batch:
    """Ten rows, of which the first `errors` have this reason."""
    batch = answers(deployment, after, after + 10, errors=range(after + 1, after + 1 + errors))
    return replace(batch, values=[reason if at < errors else value for at, value in enumerate(batch.values)])


def test_the_first_error_is_said_at_once_the_next_ones_together() -> None:
    log = Failing()
    assert log.scored(failing(4, -1, 0), 0.0) is None
    assert log.scored(failing(4, 9, 2), 1.0) == Fails(4, 2, 20, "model raised ValueError: no")
    assert log.scored(failing(4, 19, 3, b"model answered NaN for p"), 2.0) is None
    assert log.scored(failing(4, 29, 1), 0.9 + AGAIN_S) is None
    assert log.scored(failing(4, 39, 0), 1.0 + AGAIN_S) == Fails(4, 4, 30, "model answered NaN for p")
    assert log.scored(failing(4, 49, 0), 1.0 + 3 * AGAIN_S) is None, "it is well again"


def test_another_deployment_is_said_at_once_and_what_the_event_lacks_is_not_the_models() -> None:
    log = Failing()
    assert log.scored(failing(4, -1, 1), 0.0) is not None
    assert log.scored(failing(7, 9, 1), 0.1) == Fails(7, 1, 10, "model raised ValueError: no")
    assert Failing().scored(failing(4, -1, 5, b"missing feature f1"), 0.0) is None
