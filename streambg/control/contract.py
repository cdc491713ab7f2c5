"""The contract gate before `deploy`: what a version answers to the newest events, beside what live answers to them.

Reads, loads and asks; models/fitting.py compares. Nothing is published, no group commits; live is the registry's copy
of the deployed version, not the process that scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streambg.config import Pipeline
from streambg.control import verbs
from streambg.control.commands import MAX_CHANGES, MAX_TEXT
from streambg.control.state import ControlState, Deployment
from streambg.control.verbs import CLIENT, QUIET, partitions_of_input
from streambg.errors import ContractChanged, ModelError
from streambg.kafka import profiles
from streambg.kafka.newest import Event, read_newest
from streambg.models.answering import Asked, answer_in_batches
from streambg.models.contract import Schema
from streambg.models.decoding import decoder
from streambg.models.features import FeatureCheck
from streambg.models.fitting import Fit, Mismatch, Side, alone, beside, declared
from streambg.models.registry import LoadedModel, Registry
from streambg.models.verifying import verify_asked
from streambg.records.batch import MAX_ROWS

# Ten times what ranges and labels need (fitting.ENOUGH), so that rare events are among them; at 1 ms an event, slower
# than any model that keeps up with a stream, both models are asked in 2 s.
LAST = 1_000
# So many of them are asked again, alone and in other batches: a tenth of the cost, and a model that draws lots differs
# in nearly all of them. `models verify` asks 2,500 that are made up.
AGAIN = 100
# A mismatch names at most three reasons of 256 bytes, or twenty labels of 60 characters; cut are only forged names.
MAX_SAID = MAX_TEXT


@dataclass(frozen=True, slots=True)
class Mismatches:
    """What `contract` found: nothing, where `found` is empty.

    epoch: in force when live was looked up; a deploy that rests on this is for that epoch. live: its name:version, None
    where nothing is deployed. events: read; compared: answered by both. notes: what could not be judged, and why.
    """

    model: str
    digest: str
    epoch: int
    live: str | None
    events: int
    compared: int
    found: tuple[Mismatch, ...]
    notes: tuple[str, ...]

    def record(self) -> list[str]:
        """What the deploy's command says where a person accepts all of it; bounded as the command is."""
        said = [str(mismatch) for mismatch in self.found]
        short = [text if len(text) <= MAX_SAID else f"{text[: MAX_SAID - 3]}..." for text in said[:MAX_CHANGES]]
        return short if len(said) <= MAX_CHANGES else [*short[:-1], f"and {len(said) - MAX_CHANGES + 1} more"]

    def or_raise(self) -> Mismatches:
        """Itself, or ContractChanged with each mismatch on a line of its own."""
        if not self.found:
            return self
        beside_what = f" that live {self.live} keeps" if self.live else ""
        lines = "".join(f"\n  - {mismatch}" for mismatch in self.record())
        raise ContractChanged(
            f"{self.model} does not keep the contract{beside_what}: {len(self.found)} mismatch"
            f"{'es' if len(self.found) > 1 else ''} on {self.events:,} events, 0 are allowed{lines}",
            way_out="mend the model or the pipeline file; where every reader of the output expects the change: "
            "--accept-contract-change, which stands in the control log",
        )


def contract(pipeline: Pipeline, model: str, *, last: int = LAST) -> Mismatches:
    """Compare `model` (name:version of the registry) with live on the input's `last` newest events.

    Raises ModelError where the version itself cannot be loaded; Unreachable, Denied, UpgradeFirst.
    """
    entries = verbs.entries(pipeline)
    state = entries[-1].state if entries else ControlState()
    registry = Registry(pipeline.registry)
    manifest = registry.get(model)
    loaded = registry.load(model, manifest.digest)
    wanted, live = verbs.schema(pipeline), state.live_deployment
    mine = _schema(loaded, wanted.decision_output, wanted.decision_threshold)
    found = declared(model, manifest.schema_of(None, None), wanted, _ruled(live, wanted) if live else None)
    events = read_newest(
        {**profiles.reader(pipeline, CLIENT), **QUIET}, pipeline.input.topic, partitions_of_input(pipeline), last
    )
    fit = _asked(registry, loaded, mine, pipeline.input.decode, live, events)
    return Mismatches(
        model,
        manifest.digest,
        state.epoch,
        live.model if live else None,
        len(events),
        fit.compared,
        (*found, *fit.mismatches),
        fit.notes,
    )


def _asked(
    registry: Registry,
    loaded: LoadedModel,
    schema: Schema,
    decode: str | None,
    live: Deployment | None,
    events: Sequence[Event],
) -> Fit:
    if not events:
        return Fit((), notes=("the input holds no events: only what is declared was compared",))
    mine = _side(registry, loaded, schema, decode, events)
    fit, steady = _beside_live(registry, mine, live, events), _steady(loaded, mine, events)
    return Fit((*steady.mismatches, *fit.mismatches), fit.compared, (*fit.notes, *steady.notes))


def _steady(loaded: LoadedModel, mine: Side, events: Sequence[Event]) -> Fit:
    """The same row, the same answer: cutover and replay rest on it. Last bits are worth a note, not a refusal."""
    some = events[:AGAIN]
    asked = Asked(mine.rows[:AGAIN], [event.key for event in some], [event.time for event in some])
    result = verify_asked(loaded.model, asked, mine.schema)
    if not result.differing:
        return Fit(())
    if not result.far:
        said = f"the last bits of {result.differing} of {result.rows} answers depend on the batch that they are in"
        return Fit((), notes=(f"{said}: a replay will count them (streambg models verify {mine.ref})",))
    shown = result.examples[0]
    what = (
        f"{result.far} of {result.rows} events get another answer alone than in batches of {shown.size}, or than a "
        f"moment before: {shown.first}, then {shown.then} (streambg models verify {mine.ref})"
    )
    return Fit((Mismatch("steady", what),))


def _beside_live(registry: Registry, mine: Side, live: Deployment | None, events: Sequence[Event]) -> Fit:
    if live is None:
        return alone(mine)
    try:
        theirs = registry.load(live.model, live.digest)
    except ModelError as error:
        return Fit((Mismatch("live", f"{live.model} cannot be asked here: {error.what}"),))
    rules = live.rules
    by_rules = _schema(theirs, rules.decision.output if rules.decision else None, rules.decision_threshold)
    return beside(_side(registry, theirs, by_rules, rules.decode, events), mine)


def _side(registry: Registry, loaded: LoadedModel, schema: Schema, decode: str | None, events: Sequence[Event]) -> Side:
    """Asked as a scorer would ask it, with events decoded as its own deploy says."""
    rows = decoder(decode, registry.policy().python_allow)([event.value for event in events])
    asked = Asked(rows, [event.key for event in events], [event.time for event in events])
    answered = answer_in_batches(loaded.model, asked.own(), schema, FeatureCheck(schema.features), MAX_ROWS)
    return Side(loaded.manifest.ref, schema, rows, answered)


def _schema(loaded: LoadedModel, decision: str | None, threshold: float | None) -> Schema:
    """The version's own, with the decision where it has that output."""
    has = decision in loaded.manifest.outputs
    return loaded.manifest.schema_of(decision if has else None, threshold if has else None)


def _ruled(live: Deployment, wanted: Schema) -> Schema:
    """Outputs and decision as live's deploy carried them; features are each version's own."""
    rules = live.rules
    return Schema(
        wanted.features, rules.outputs, rules.decision.output if rules.decision else None, rules.decision_threshold
    )
