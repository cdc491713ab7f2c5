"""Which ranges a `supersede` means, whose stored answers, and where these stand (P36). Pure."""

from __future__ import annotations

from streambg.comparing.locate import PredictionLog, covering, first_of


def answers_place(log: PredictionLog, deployment: int, first: int) -> tuple[int, int]:
    """(log offset, covered): from where a fold of the deployment's batches gives its answers from `first` on.

    Where it has none the log's end: nothing will be read.
    """
    begin = first_of(log, deployment)
    if begin is None:
        return log.high, first - 1
    offset, head = begin
    if head.after >= first:
        return offset, head.after  # its answers begin later, or what was before is gone from the log
    return covering(log, offset, deployment, first - 1), first - 1
