"""The controller's process: the rollout in force and the last verdict -> the next command.

Run as `python -m consumers.controller`.

It owns nothing: the rollout stands in the control log, evidence in the comparator's topics. So a restart goes on where
the log says, and a second controller decides the same and is told that its command came too late (P1).
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import httpx2
import structlog
from prometheus_client import Counter, Gauge

from streambg.comparing.judging import case_of
from streambg.comparing.told import Told, told
from streambg.config import Pipeline
from streambg.control import verbs
from streambg.control.fold import Entry
from streambg.control.rollouts import Rollout
from streambg.control.sender import ControlClient
from streambg.control.state import ControlState
from streambg.deciding.record import VerdictRecord
from streambg.errors import OutcomeUnknown, Refused
from streambg.kafka import profiles
from streambg.notifying.notice import of_command, of_drift, of_verdict
from streambg.notifying.sender import Sender
from streambg.process.frame import Frame
from streambg.rollout.broken import Broken
from streambg.rollout.decide import Act, Ask, Decision, Wait, decide
from streambg.rollout.look import Facts, look_of
from streambg.rollout.verdicts import Verdicts
from streambg.web.health import Endpoint

ACTOR = "rollout controller"
NAME = "streambg.controller"
# Verdicts come at most once a second.
LOOK_EVERY_S = 1.0
# An address that a step asks is asked again this often, and must answer within the other.
CHECK_EVERY_S, CHECK_S = 10.0, 5.0
FOLD_TIMEOUT_S = 30.0
# What was refused at an epoch would be refused again: the log is for ever, and not for that.
REFUSED_S = 30.0
# News that are older when the controller starts are no news; what was told already is known to Redis.
NEWS_MS = 3_600_000

COMMANDS = Counter(
    "streambg_rollout_commands_total", "Commands of this controller, by verb and result", ["verb", "result"]
)
STEP = Gauge("streambg_rollout_step", "Step of the rollout under way, from 1; 0: none is")

log = structlog.get_logger(NAME)


class Controller:
    """One of them is enough; more are harmless."""

    def __init__(self, pipeline: Pipeline, sender: Sender, metrics: Endpoint) -> None:
        self._pipeline = pipeline
        self._sender = sender
        self._reader = profiles.reader(pipeline, NAME)
        self._broken = Broken(pipeline, self._reader)
        self._frame = Frame("controller", metrics, self._health)
        self._news_from = int(time.time() * 1_000) - NEWS_MS
        self._appended: dict[int, int] = {}  # epoch -> append time of its record, ms since 1970
        self._word: tuple[str, int, int] | None = None  # the last verdict that was told: word and both deployments
        self._decision: Decision | None = None
        self._checked: tuple[str, float, bool] | None = None  # address, when (monotonic), answered 2xx
        self._refused: tuple[int, float] | None = None  # epoch, until when (monotonic) it is not asked again

    def run(self) -> int:
        """Until SIGTERM or an error that a new session cannot mend; the exit code."""
        self._sender.start()
        try:
            return self._frame.run(self._session)
        finally:
            self._sender.stop()

    def _session(self) -> None:
        """Raises SessionEnded where the control log is not followed any more; the next session starts over (P6)."""
        self._appended.clear()
        topic = self._pipeline.topics.verdicts
        following = verbs.client(self._pipeline, self._entry)
        with following as control, Verdicts(self._reader, topic) as verdicts:
            control.follower.wait_caught_up(FOLD_TIMEOUT_S)
            verdicts.read(LOOK_EVERY_S)  # what stands there is read before anything is decided
            while not self._frame.stopping:
                snapshot = control.follower.snapshot()
                snapshot.require_lease(time.monotonic())
                self._frame.turned()
                self._turn(control, verdicts, snapshot.state)
                self._frame.wait(LOOK_EVERY_S)

    def _entry(self, entry: Entry) -> None:
        """Every record of the log, on the follower's thread: when epochs began, and what is news."""
        if entry.accepted:
            self._appended[entry.offset] = entry.appended_ms
        notice = of_command(self._pipeline.name, entry)
        if notice is not None and entry.appended_ms >= self._news_from:
            self._sender.tell(notice)

    # -- one turn ------------------------------------------------------------------------------------------------

    def _turn(self, control: ControlClient, verdicts: Verdicts, state: ControlState) -> None:
        rollout = state.rollout
        found = self._told(verdicts, state)
        if rollout is None or not rollout.active:
            self._decision = None
            STEP.set(0)
            return
        STEP.set(rollout.step + 1)
        now_ms, broken = int(time.time() * 1_000), self._broken.of(state.candidate)
        facts = Facts(now_ms, self._appended[rollout.entered], found, state.paused, broken=broken)
        decision = self._decide(rollout, facts, state)
        if type(decision) is not type(self._decision):
            log.info("decides", rollout=rollout.summary(), decision=type(decision).__name__, why=_why(decision))
        self._decision = decision
        if isinstance(decision, Act):
            self._send(control, state, rollout, facts, decision)

    def _told(self, verdicts: Verdicts, state: ControlState) -> Told | None:
        """The last verdict about the pair in force; where it is another word than before, people are told."""
        records = verdicts.read()
        case = case_of(state)
        if case is None:
            return None
        found = told(records, case, int(time.time() * 1_000))
        if found.record is not None:
            self._tell(found, found.record, state.epoch)
        return found

    def _tell(self, found: Told, record: VerdictRecord, epoch: int) -> None:
        name, pair = self._pipeline.name, f"{record.deployment}/{record.against}"
        news = (found.word, record.deployment, record.against)
        if news != self._word:
            self._word = news
            self._sender.tell(of_verdict(name, found.word, found.reasons, pair, epoch, record.at_ms))
        for drifted in record.drifted:
            self._sender.tell(of_drift(name, drifted, pair, epoch, record.at_ms))

    def _decide(self, rollout: Rollout, facts: Facts, state: ControlState) -> Decision:
        """Lag and address are looked at only where everything else holds: they cost requests."""
        decision = decide(rollout, look_of(rollout, facts))
        if isinstance(decision, Ask) or (isinstance(decision, Act) and decision.verb == "rollout-advance"):
            facts = replace(facts, lags=self._lags(rollout, state))
            decision = decide(rollout, look_of(rollout, facts))
        if isinstance(decision, Ask):
            decision = decide(rollout, look_of(rollout, replace(facts, check=self._ask(decision.address))))
        return decision

    def _lags(self, rollout: Rollout, state: ControlState) -> tuple[str, ...]:
        candidate = state.candidate
        if candidate is None:
            return ()
        return verbs.lags(self._pipeline, self._reader, candidate, rollout.plan.gate.max_lag_ms)

    def _ask(self, address: str) -> bool:
        """Does it answer 2xx? Asked again every 10 s."""
        now = time.monotonic()
        if self._checked is None or self._checked[0] != address or now - self._checked[1] >= CHECK_EVERY_S:
            try:
                answered = httpx2.get(address, timeout=CHECK_S).is_success
            except httpx2.HTTPError as error:
                log.warning("check_failed", address=address, why=f"{type(error).__name__}: {error}")
                answered = False
            self._checked = (address, now, answered)
        return self._checked[2]

    def _send(self, control: ControlClient, state: ControlState, rollout: Rollout, facts: Facts, decision: Act) -> None:
        """With the epoch it was decided on: of two controllers' commands one counts (P1)."""
        if self._refused is not None and self._refused[0] == state.epoch and time.monotonic() < self._refused[1]:
            return
        look = look_of(rollout, facts)
        args = {"rollout": rollout.id, "step": rollout.step, "evidence": look.evidence, "events": look.events}
        try:
            sent = control.send(decision.verb, args, actor=ACTOR, reason=decision.reason, expected_epoch=state.epoch)
        except (OutcomeUnknown, Refused) as error:
            COMMANDS.labels(decision.verb, "unknown").inc()
            log.warning("command_unknown", verb=decision.verb, why=error.what)
            return
        result = "accepted" if sent.accepted else "refused"
        if not sent.accepted:
            self._refused = (state.epoch, time.monotonic() + REFUSED_S)
        COMMANDS.labels(decision.verb, result).inc()
        log.info("command", verb=decision.verb, result=result, refusal=sent.refusal, reason=decision.reason)

    # -- what others see -----------------------------------------------------------------------------------------

    def _health(self) -> dict[str, Any]:
        decision = self._decision
        return {"decision": None if decision is None else type(decision).__name__, "why": list(_why(decision))}


def _why(decision: Decision | None) -> tuple[str, ...]:
    match decision:
        case Wait(reasons):
            return reasons
        case Act(verb, reason):
            return (f"{verb}: {reason}",)
        case Ask(address):
            return (f"asks {address}",)
    return ()
