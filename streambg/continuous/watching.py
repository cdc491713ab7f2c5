"""`watch-registry`: looks at the registry and the control log, does what `decide` says, and looks again.

Each look reads both anew, so a restart, a second watcher and a person who deploys by hand are all the same to it: its
commands carry the epoch they were decided on, and the log takes one (P1).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from streambg.config import Pipeline
from streambg.continuous.decide import (
    ACTOR,
    Decision,
    Nothing,
    Start,
    Tried,
    Try,
    Wait,
    decide,
    reason_of,
    tried_of,
)
from streambg.continuous.versions import Source
from streambg.control import verbs
from streambg.control.contract import contract
from streambg.control.fold import Entry
from streambg.control.sender import ControlClient
from streambg.control.state import ControlState
from streambg.control.verbs import Said
from streambg.errors import ModelError, OutcomeUnknown, Refused, Unreachable
from streambg.rollout import verbs as rollouts

# What the next look may mend: nothing was done, or the next one sees what was.
PASSING = (Unreachable, OutcomeUnknown, Refused, ModelError)


@dataclass(frozen=True, slots=True)
class News:
    """One look. did: `deployed`, `started`, `waits`, `nothing`, `refused` or `failed`; why: in words."""

    did: str
    model: str
    why: str


class RegistryWatch:
    """source: where versions come from."""

    def __init__(self, config: Pipeline, source: Source) -> None:
        self._config = config
        self._source = source
        self._refused: dict[str, str] = {}  # digest -> why it can never be deployed as it is

    def run(self, interval_s: float, stop: threading.Event, tell: Callable[[News], None]) -> None:
        """Until it is told to stop. Raises what another look cannot mend: Denied, Gap, UpgradeFirst, ..."""
        said: News | None = None
        while not stop.is_set():
            try:
                news = self.look()
            except PASSING as error:
                news = News("failed", "", str(error))
            if news != said:
                said = news
                tell(news)
            stop.wait(interval_s)

    def look(self) -> News:
        """One look, and what was done. Raises StreambgError."""
        tried: list[Tried] = []

        def keep(entry: Entry) -> None:
            if (found := tried_of(entry)) is not None:
                tried.append(found)

        with verbs.client(self._config, keep) as control:
            state = control.state()
            decision = decide(state, self._source(state), tried, self._refused)
            return self._act(control, state, decision)

    def _act(self, control: ControlClient, state: ControlState, decision: Decision) -> News:
        match decision:
            case Try():
                return self._try(control, state, decision)
            case Start(deployment):
                said = Said(ACTOR, f"{deployment.model} was deployed and not begun")
                rollouts.start(control, self._config, said, expected_epoch=state.epoch).or_raise()
                return News("started", deployment.model, "its rollout is begun")
            case Wait(version, why):
                return News("waits", version.ref, why)
            case Nothing(why):
                return News("nothing", "", why)

    def _try(self, control: ControlClient, state: ControlState, found: Try) -> News:
        """Behind the contract gate; what does not pass it is looked at again by the next process only."""
        version, said = found.version, Said(ACTOR, reason_of(found.version, found.skips))
        gate = contract(self._config, version.ref)
        if gate.found:
            why = (
                f"it does not keep the contract: {'; '.join(gate.record())}; a person can accept that: streambg deploy"
            )
            self._refused[version.digest] = why
            return News("refused", version.ref, why)
        verbs.deploy(control, self._config, found.color, version.ref, said, expected_epoch=state.epoch).or_raise()
        rollouts.start(control, self._config, said).or_raise()
        skipped = f", skipped are {', '.join(found.skips)}" if found.skips else ""
        return News("deployed", version.ref, f"to {found.color}; its rollout is begun{skipped}")
