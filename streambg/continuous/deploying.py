"""`ci deploy`: contract, deploy to the idle color, start of the plan, and waiting for what comes of it.

Nothing here decides about the model: the controller does, by the plan in the control log. So whoever waits may be
killed at any point; the same call again joins what stands there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from streambg.config import Pipeline
from streambg.continuous.admit import Admission, Begin, Join, Live, Start, admit
from streambg.continuous.outcome import WORDS, How, Outcome, Word, accepted, passages
from streambg.continuous.progress import line
from streambg.continuous.slot import Taken
from streambg.control import verbs
from streambg.control.contract import Mismatches, contract
from streambg.control.rollouts import Rollout
from streambg.control.sender import ControlClient
from streambg.control.state import ControlState, Deployment
from streambg.control.verbs import Said
from streambg.errors import Refused
from streambg.models.manifest import Manifest
from streambg.models.registry import Registry
from streambg.records.source import Color
from streambg.rollout import verbs as rollouts
from streambg.rollout.decide import Act
from streambg.rollout.standing import looks

LOOK_EVERY_S = 1.0
# Numbers change with every look; a CI log wants to see that it lives, not each of them.
TELL_EVERY_S = 15.0
# Two calls at once, each refused once for the deploy and once for the start; more is somebody who deploys by hand.
TRIES = 5

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The model, `name:version`, and how. until: when waiting ends (monotonic seconds); None: nothing is waited for.

    sample: hundredths of a percent of the keys that it scores before its first weight. accepts_change: of the contract.
    """

    model: str
    said: Said
    until: float | None = None
    sample: int | None = None
    gives_up_rollback: bool = False
    accepts_change: bool = False

    @property
    def left(self) -> bool:
        """Is there time left to wait?"""
        return self.until is not None and time.monotonic() < self.until


@dataclass(frozen=True, slots=True)
class Begun:
    """What stands there now. rollout: its id; None: it was live already."""

    how: How
    deployment: Deployment
    rollout: int | None
    state: ControlState


def deploy(config: Pipeline, wanted: Wanted, tell: Tell) -> Outcome:
    """Begin or join the rollout of this model and, where asked for, wait for its end.

    Raises ModelError, ConfigError without a plan, ContractChanged, Refused where the idle color is needed (of all of
    these nothing has changed), OutcomeUnknown, Unreachable. KeyboardInterrupt leaves the rollout as it is.
    """
    rollouts.plan_of(config)
    manifest = Registry(config.registry).get(wanted.model)
    with verbs.client(config) as control:
        begun = begin(control, config, manifest, wanted, tell)
    if begun.rollout is None:
        return Outcome("live", begun.how, begun.deployment, in_force=begun.state.summary())
    tell(f"{begun.how}: {begun.deployment.color} {begun.deployment.model}, deployment {begun.deployment.id}")
    return follow(config, begun, wanted, tell)


def begin(control: ControlClient, config: Pipeline, manifest: Manifest, wanted: Wanted, tell: Tell) -> Begun:
    """Until the model's rollout stands in the control log. Raises Refused: the idle color is needed."""
    refused = Refused(
        f"{manifest.ref} was not begun: others changed the control log {TRIES} times meanwhile",
        way_out="streambg history shows who; then the same call again",
    )
    waited = ""
    for _ in range(TRIES):
        state = control.state()
        found = admit(state, manifest.digest, wanted.gives_up_rollback)
        while isinstance(found, Taken) and found.passes and wanted.left:
            if not waited:  # who waits for hours does not want to hear it then
                _kept(config, manifest, wanted)
            if found.why != waited:
                waited = found.why
                tell(f"waits: {waited}")
            time.sleep(LOOK_EVERY_S)
            state = control.state()
            found = admit(state, manifest.digest, wanted.gives_up_rollback)
        try:
            begun = _act(control, config, manifest, wanted, state, found)
        except Refused as error:
            # the log has moved on meanwhile: look again, and join whoever was faster
            if control.state().epoch == state.epoch:
                raise
            refused = error
        else:
            if begun is not None:
                return begun
    raise refused


def _act(
    control: ControlClient,
    config: Pipeline,
    manifest: Manifest,
    wanted: Wanted,
    state: ControlState,
    found: Admission,
) -> Begun | None:
    """One command, or none; None: look again."""
    match found:
        case Join(rollout, deployment):
            return Begun("joined", deployment, rollout, state)
        case Live(deployment):
            return Begun("live already", deployment, None, state)
        case Start(deployment):
            sent = rollouts.start(control, config, wanted.said, expected_epoch=state.epoch).or_raise()
            return Begun("begun", deployment, sent.offset, sent.state)
        case Begin(color):
            _deploy(control, config, manifest, wanted, state, color)
            return None
        case Taken(why, way_out):
            raise Refused(f"{manifest.ref} was not deployed: {why}", way_out=way_out)


def _deploy(
    control: ControlClient,
    config: Pipeline,
    manifest: Manifest,
    wanted: Wanted,
    state: ControlState,
    color: Color,
) -> None:
    """Behind the contract gate; where something else went live meanwhile, the log refuses (P1)."""
    changes = _kept(config, manifest, wanted).record()
    verbs.deploy(
        control,
        config,
        color,
        manifest.ref,
        wanted.said,
        sample=wanted.sample,
        gives_up_rollback=wanted.gives_up_rollback,
        contract_change=changes,
        expected_epoch=state.epoch,
    ).or_raise()


def _kept(config: Pipeline, manifest: Manifest, wanted: Wanted) -> Mismatches:
    """Raises ContractChanged where it is not kept, and that was not accepted."""
    found = contract(config, manifest.ref)
    return found if wanted.accepts_change else found.or_raise()


def follow(config: Pipeline, begun: Begun, wanted: Wanted, tell: Tell) -> Outcome:
    """Until the rollout has ended, or the time is over; without --wait the first look."""
    said: tuple[object, ...] = ()
    told_at = 0.0
    for standing in looks(config):
        rollout = standing.state.rollout
        if rollout is None or rollout.id != begun.rollout:
            return _outcome(config, begun, "a person decides", None, ("another rollout stands in its place",))
        word = WORDS[rollout.stage]
        if word != "under way" or not wanted.left:
            return _outcome(config, begun, word, rollout, standing.reasons)
        news = (rollout.stage, rollout.step)
        now = time.monotonic()
        if news != said or now - told_at >= TELL_EVERY_S:
            said, told_at = news, now
            # what is due is done by the controller's next look; only where it is not, somebody should know
            waits = () if isinstance(standing.decision, Act) and not standing.overdue else standing.reasons
            tell(line(rollout, standing.told, waits))
        time.sleep(LOOK_EVERY_S)
    raise AssertionError("looks have no end")


def _outcome(config: Pipeline, begun: Begun, word: Word, rollout: Rollout | None, reasons: tuple[str, ...]) -> Outcome:
    entries = verbs.entries(config)
    if rollout is None:
        return Outcome(word, begun.how, begun.deployment, begun.rollout, "", reasons, in_force=begun.state.summary())
    found = passages(entries, rollout)
    ended = tuple(passage.why for passage in found if passage.how in ("failed", "error"))
    return Outcome(
        word,
        begun.how,
        begun.deployment,
        rollout.id,
        rollout.stage.value,
        ended or reasons,
        found,
        entries[-1].state.summary(),
        accepted(entries, begun.deployment),
    )
