"""The verbs as people and programs use them: checks first, then one command, then what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from streambg.comparing.judging import case_of
from streambg.comparing.told import told
from streambg.comparing.verdict_log import read_verdicts
from streambg.config import Pipeline
from streambg.control import readiness
from streambg.control.fold import Entry
from streambg.control.follower import ControlFollower
from streambg.control.noise import Asked, noise_for
from streambg.control.sender import FOLD_TIMEOUT_S, ControlClient, Sent
from streambg.control.state import ControlState, Deployment, Phase
from streambg.errors import Misconfigured, Refused, Unreachable
from streambg.kafka import admin, profiles
from streambg.models.contract import Schema
from streambg.models.registry import Registry
from streambg.records.gate import Noise
from streambg.records.source import Color

# A candidate that keeps up is a few milliseconds behind live, and a scorer that was just started answers within some
# seconds; look again this long before calling it behind.
SETTLE_IN_S = 10.0
LOOK_AGAIN_S = 0.25
WATERMARK_TIMEOUT_S = 10.0
CLIENT = "streambg.operator"
# A verb says once what went wrong; the client would write every refused connection to stderr.
QUIET = {"log_level": 0}

Start = Literal["earliest", "latest"] | Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Said:
    """Who says it and why; both stand in the control log for ever, so neither holds a secret."""

    actor: str
    reason: str = ""


def client(pipeline: Pipeline, on_entry: Callable[[Entry], None] | None = None) -> ControlClient:
    """A control client of this pipeline; use it as a context manager. `on_entry` is told of every record."""
    return ControlClient(
        {**profiles.reader(pipeline, CLIENT, follow=True), **QUIET},
        {**profiles.idempotent_producer(pipeline, CLIENT, linger_ms=0), **QUIET},
        pipeline.topics.control,
        on_entry,
        pipeline.ignore_records,
    )


def entries(pipeline: Pipeline) -> list[Entry]:
    """The whole control log as it is now, folded; reading it needs no right to write it.

    Raises Unreachable, Denied, Gap, UpgradeFirst.
    """
    found: list[Entry] = []
    reader = {**profiles.reader(pipeline, CLIENT, follow=True), **QUIET}
    follower = ControlFollower(reader, pipeline.topics.control, pipeline.ignore_records, found.append).start()
    try:
        follower.wait_caught_up(FOLD_TIMEOUT_S)
    finally:
        follower.stop()
    return found


def deploy(  # noqa: PLR0913 - each is an argument of the command
    control: ControlClient,
    pipeline: Pipeline,
    color: Color,
    model: str,
    said: Said,
    *,
    sample: int | None = None,
    start: Start | None = None,
    gives_up_rollback: bool = False,
    rescore: bool = False,
    contract_change: Sequence[str] = (),
    expected_epoch: int | None = None,
) -> Sent:
    """Put `model` (name:version of the registry) into `color`. The first deploy goes live at once.

    `sample` in hundredths of a percent; `start` only with the first deploy (default `latest`); `contract_change`: the
    mismatches with live's contract that were accepted (control/contract.py), recorded and not looked at.
    Raises ModelError, Refused (before anything is sent), OutcomeUnknown, Unreachable.
    """
    state = control.state()
    manifest = Registry(pipeline.registry).get(model)
    manifest.check_fits(schema(pipeline))
    if state.phase is not Phase.EMPTY and start is not None:
        raise Refused(
            "only the first deploy of a pipeline says where to begin",
            way_out="leave --start out; a candidate begins at the publisher's settled position",
        )
    args: dict[str, object] = {
        "color": color,
        "model": manifest.ref,
        "digest": manifest.digest,
        "rules": pipeline.deciding_text(),
        "sample": sample,
        "gives_up_rollback": gives_up_rollback,
        "rescore": rescore,
    }
    if (noise := _noise(pipeline, state, manifest.digest)) is not None:
        args["noise"] = {"digest": noise.digest, "events": noise.events, "floors": dict(noise.floors)}
    if contract_change:  # only whoever needs it needs readers that know it (P5)
        args["contract_change"] = list(contract_change)
    if state.phase is Phase.EMPTY:
        args["start"] = {str(partition): at for partition, at in resolve(pipeline, start or "latest").items()}
        args["output"] = {str(partition): end for partition, end in output_ends(pipeline).items()}
    return _send(control, "deploy", args, said, state, expected_epoch)


def _noise(pipeline: Pipeline, state: ControlState, digest: str) -> Noise | None:
    """Where the file declares `aa`. Raises Refused where live was not measured against itself."""
    gate = pipeline.gate()
    if pipeline.aa is None or gate is None or state.live_deployment is None:
        return None
    reader = {**profiles.reader(pipeline, CLIENT), **QUIET}
    records = read_verdicts(reader, pipeline.topics.verdicts)
    return noise_for(state, digest, Asked(gate, pipeline.aa.events), records)


def shift(
    control: ControlClient,
    pipeline: Pipeline,
    weight: int,
    said: Said,
    *,
    force: bool = False,
    candidate: int | None = None,
    expected_epoch: int | None = None,
) -> Sent:
    """Give the candidate `weight` hundredths of a percent of the keys. Raises Refused where it is not ready.

    A verdict that says abort forbids more of them, not fewer.
    """
    state = control.state()
    more = weight > state.weight and not force
    known = unharmed(pipeline, state, f"shift {weight / 100:g}") if more else ()
    if weight > 0:
        ready(pipeline, state, said, force)
    args = {"weight": weight, "candidate": _candidate(state, candidate)}
    return replace(_send(control, "shift", args, said, state, expected_epoch), known=known)


def promote(
    control: ControlClient,
    pipeline: Pipeline,
    said: Said,
    *,
    force: bool = False,
    candidate: int | None = None,
    expected_epoch: int | None = None,
) -> Sent:
    """Make the candidate live. Raises Refused where it is not ready, or the verdict about it is abort."""
    state = control.state()
    known = () if force else unharmed(pipeline, state, "promote")
    ready(pipeline, state, said, force)
    args = {"candidate": _candidate(state, candidate)}
    return replace(_send(control, "promote", args, said, state, expected_epoch), known=known)


def plain(
    control: ControlClient,
    verb: Literal["rollback", "abort", "pause", "resume"],
    said: Said,
    *,
    expected_epoch: int | None = None,
) -> Sent:
    """A verb without arguments of its own."""
    return _send(control, verb, {}, said, control.state(), expected_epoch)


def retire(control: ControlClient, color: Color, said: Said, *, expected_epoch: int | None = None) -> Sent:
    """Stop scoring with the deployment in `color`."""
    return _send(control, "retire", {"color": color}, said, control.state(), expected_epoch)


def _candidate(state: ControlState, given: int | None) -> int:
    """The deployment the command is for (P1); where there is none, the fold says why."""
    if given is not None:
        return given
    return state.other_deployment.id if state.other_deployment else -1


def _send(
    control: ControlClient,
    verb: str,
    args: Mapping[str, object],
    said: Said,
    state: ControlState,
    expected_epoch: int | None,
) -> Sent:
    expected = state.epoch if expected_epoch is None else expected_epoch
    return control.send(verb, args, actor=said.actor, reason=said.reason, expected_epoch=expected)


def schema(pipeline: Pipeline) -> Schema:
    """The contract every version must fit."""
    contract = pipeline.model
    return Schema(contract.features, contract.outputs, contract.decision.output, contract.decision.threshold)


def unharmed(pipeline: Pipeline, state: ControlState, verb: str) -> tuple[str, ...]:
    """Raises Refused where the newest verdict about this candidate is fresh and says abort; else what a person should
    know: that it rests on nothing.

    verb: what a person says who does it all the same. A candidate that nobody judges may be moved by hand.
    """
    case = case_of(state)
    if case is None or case.watched:
        return ()
    records = read_verdicts({**profiles.reader(pipeline, CLIENT), **QUIET}, pipeline.topics.verdicts)
    found, who = told(records, case, int(time.time() * 1_000)), f"{case.candidate.color} {case.candidate.model}"
    why = readiness.harm(found)
    if why is not None:
        raise Refused(
            f"{who} harms: {why}",
            way_out=f"streambg abort; or, knowing better: streambg {verb} --force --reason 'why'",
        )
    nothing = readiness.nothing(found)
    return () if nothing is None else (f"{nothing}: no evidence speaks for or against {who} (streambg verdict)",)


def ready(pipeline: Pipeline, state: ControlState, said: Said, force: bool) -> None:
    """Raises Refused where the candidate does not cover settled everywhere or lags more than `max_lag`."""
    candidate = state.candidate
    if candidate is None:
        return  # the fold refuses, and says why
    if force:
        if not said.reason:
            raise Refused("--force needs a --reason: it stands in the control log", way_out="say why")
        return
    deadline = time.monotonic() + SETTLE_IN_S
    while True:
        lanes = readiness.measure(
            pipeline, {**profiles.reader(pipeline, CLIENT), **QUIET}, candidate, partitions_of_input(pipeline)
        )
        objections = readiness.objections(lanes, pipeline.rollout.max_lag_ms)
        if not objections:
            return
        if time.monotonic() > deadline:
            raise Refused(
                f"{candidate.color} {candidate.model} is not ready: {'; '.join(objections)}",
                way_out="is its scorer running? wait until it has caught up, or --force with a --reason",
            )
        time.sleep(LOOK_AGAIN_S)


def lags(pipeline: Pipeline, reader: Mapping[str, Any], candidate: Deployment, max_lag_ms: int) -> tuple[str, ...]:
    """Why the candidate should not go on now, looked at once; that it is not known is a reason, too."""
    try:
        lanes = readiness.measure(pipeline, reader, candidate, partitions_of_input(pipeline))
    except Unreachable as error:
        return (f"whether the candidate keeps up is not known: {error.what}",)
    return tuple(readiness.objections(lanes, max_lag_ms))


def partitions_of_input(pipeline: Pipeline, client: AdminClient | None = None) -> int:
    """The input's. Raises Misconfigured where it does not exist."""
    return _partitions(pipeline, pipeline.input.topic, client)


def _partitions(pipeline: Pipeline, topic: str, client: AdminClient | None = None) -> int:
    if client is None:
        client = AdminClient({**profiles.admin(pipeline, CLIENT), **QUIET})
    found = admin.describe(client, [topic])
    if topic not in found:
        raise Misconfigured(f"the topic {topic} does not exist", way_out="streambg topics apply")
    return found[topic].partitions


def output_ends(pipeline: Pipeline) -> dict[int, int]:
    """Where the output's log ends now, open transactions included: what stands below is nobody's outcome (P25)."""
    topic = pipeline.output.topic
    consumer = Consumer({**profiles.reader(pipeline, CLIENT, stable=False), **QUIET})
    try:
        return {
            number: int(consumer.get_watermark_offsets(TopicPartition(topic, number), WATERMARK_TIMEOUT_S)[1])
            for number in range(_partitions(pipeline, topic))
        }
    finally:
        consumer.close()


def resolve(pipeline: Pipeline, start: Start) -> dict[int, int]:
    """The first deploy's start as source offsets, one for every partition that exists now (P11)."""
    topic = pipeline.input.topic
    count = partitions_of_input(pipeline)
    consumer = Consumer({**profiles.reader(pipeline, CLIENT), **QUIET})
    try:
        logs = {
            number: consumer.get_watermark_offsets(TopicPartition(topic, number), WATERMARK_TIMEOUT_S)
            for number in range(count)
        }
    finally:
        consumer.close()
    if isinstance(start, str):
        return {number: int(log[start != "earliest"]) for number, log in logs.items()}
    _check_start(topic, start, logs)
    return dict(start)


def _check_start(topic: str, start: Mapping[int, int], logs: Mapping[int, tuple[int, int]]) -> None:
    """Every partition is named, and none outside of its log: what is owed cannot be taken back. Raises Refused."""
    if unknown := sorted(set(start) - set(logs)):
        raise Refused(
            f"--start names partition {unknown[0]}, {topic} has 0..{len(logs) - 1}",
            way_out="leave out those it has not",
        )
    if missing := sorted(set(logs) - set(start)):
        rest = ",".join(f"{number}:{logs[number][1]}" for number in missing)
        raise Refused(
            f"--start does not say where partitions {', '.join(map(str, missing))} of {topic} begin",
            way_out=f"name all of them; these begin at their ends with {rest}",
        )
    for number, at in sorted(start.items()):
        low, high = logs[number]
        if not low <= at <= high:
            raise Refused(
                f"--start {number}:{at} is outside of what {topic}/{number} holds, {low} to {high}",
                way_out=f"from {low} (all that is there) to {high} (only what comes)",
            )
