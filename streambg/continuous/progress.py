"""One line about a rollout under way: the step, its weight, the e-values, what it waits for. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from streambg.comparing.told import Told
from streambg.control.rollouts import Rollout, Stage
from streambg.deciding.verdict import evidence_words

# What a line of a CI log has room for; the whole is in `rollout status`.
MAX_TESTS, MAX_REASONS = 4, 2


def line(rollout: Rollout, told: Told | None, waits: Sequence[str]) -> str:
    """`step 2 of 3 at 10 %, running: errors: evidence 12 of the 40 needed; 1,200 of 3,000 events at this weight`."""
    said = [*_evidence(rollout, told), *waits[:MAX_REASONS]]
    if len(waits) > MAX_REASONS:
        said.append(f"{len(waits) - MAX_REASONS} more")
    return f"{rollout.summary()}: {'; '.join(said)}" if said else rollout.summary()


def _evidence(rollout: Rollout, told: Told | None) -> list[str]:
    """The whole metrics that the step in force asks for; the others are not waited for."""
    if told is None or told.record is None or rollout.stage is not Stage.RUNNING:
        return []
    gates = rollout.plan.steps[rollout.step].gates
    return [
        f"{test.name}: {evidence_words(test.log_good, test.needed_good)}"
        for test in told.record.tests
        if test.metric in gates and not test.field
    ][:MAX_TESTS]
