"""`streambg models diff`: what changes from one version to another, in what they are and in what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from streambg import topicplan
from streambg.cli.common import DEFAULT_PIPELINE, Output, OutputOption, PipelineOption, events_of, print_json, stdout
from streambg.cli.completing import version_argument
from streambg.cli.registry import Place, RegistryOption, place_of, read_sample
from streambg.control.verbs import CLIENT, QUIET, partitions_of_input
from streambg.errors import ConfigError, ModelError
from streambg.kafka import profiles
from streambg.kafka.newest import read_newest
from streambg.models.answering import Answered, Asked, answer_in_batches
from streambg.models.decoding import decoder
from streambg.models.diffing import AnswersDiff, Change, answers_diff, changes, common_output
from streambg.models.features import FeatureCheck
from streambg.models.manifest import Manifest
from streambg.models.registry import Registry
from streambg.records.batch import MAX_ROWS
from streambg.records.source import Source

# Two models of 40 us an event need 4 s for them, and at 1 KB an event they take 50 MB.
MAX_LAST = 50_000
MAX_SHOWN = 100


@dataclass(frozen=True, slots=True)
class _Events:
    """The events that both are asked for; `names` say where each stands."""

    asked: Asked
    names: Sequence[str]
    where: str


app = typer.Typer()


@app.command(epilog="Example:  streambg models diff fraud:7 fraud:8 --last 5000")
def diff(
    first: Annotated[str, version_argument("The version to begin with, for example fraud:7")],
    second: Annotated[str, version_argument("The version to compare with it")],
    sample: Annotated[
        Path | None, typer.Option(help="Score these events with both, one JSON object a line.", show_default=False)
    ] = None,
    last: Annotated[
        str | None,
        typer.Option(
            metavar="EVENTS",
            help=f"Score so many of the input topic's newest with both, {MAX_LAST:,} at the most.",
            show_default=False,
        ),
    ] = None,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    registry: RegistryOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """What differs between two versions: their manifests, and with --sample or --last their answers to the same events.

    --last takes an equal share of every partition's newest events, and publishes nothing. A difference is no error.
    """
    if sample is not None and last is not None:
        raise ConfigError("--sample and --last are both given", way_out="one of them says which events to score")
    newest = events_of(last, MAX_LAST) if last is not None else None
    place = place_of(pipeline, registry)
    manifests = place.registry.get(first), place.registry.get(second)
    changed = changes(*(_known(place.registry, manifest) for manifest in manifests))
    events = _sample(sample) if sample is not None else _newest(place, newest) if newest is not None else None
    answers = _answers(place, manifests, events) if events else None
    if output is Output.JSON:
        print_json(
            {
                "first": first,
                "second": second,
                "manifest": [asdict(change) for change in changed],
                "events": events.where if events else None,
                "answers": _plain(answers, events) if answers and events else None,
            }
        )
        return
    stdout.print(_table(first, second, changed), highlight=False)
    if answers and events:
        for line in _said(answers, events, first, second):
            typer.echo(line)
        if answers.worst:
            stdout.print(_worst(answers, events, first, second), highlight=False)


def _known(registry: Registry, manifest: Manifest) -> dict[str, Any]:
    """All of a version but its name, which was given."""
    known = {name: value for name, value in manifest.as_json().items() if name not in ("manifest", "name", "version")}
    return known | {"digest": manifest.digest, "artifact bytes": _size(registry, manifest)}


def _size(registry: Registry, manifest: Manifest) -> int | None:
    if manifest.artifact is None:
        return None
    path = registry.path / manifest.name / manifest.version / manifest.artifact
    try:
        return path.lstat().st_size
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", way_out="restore it, or add it anew") from error


def _sample(path: Path) -> _Events:
    rows = read_sample(path)
    return _Events(Asked(rows), [f"event {at}" for at in range(len(rows))], str(path))


def _newest(place: Place, last: int) -> _Events:
    config = place.pipeline
    if config is None:
        raise ConfigError("--last needs a pipeline: it says which topic", way_out="give -p FILE, or events: --sample")
    topicplan.connect(config)
    topic, partitions = config.input.topic, partitions_of_input(config)
    events = read_newest({**profiles.reader(config, CLIENT), **QUIET}, topic, partitions, last)
    rows = decoder(config.input.decode, place.registry.policy().python_allow)([event.value for event in events])
    asked = Asked(rows, [event.key for event in events], [event.time for event in events])
    names = [str(Source(topic, event.partition, event.offset)) for event in events]
    return _Events(asked, names, f"the newest of {topic}, {last} wanted")


def _answers(place: Place, manifests: tuple[Manifest, Manifest], events: _Events) -> AnswersDiff:
    contract = place.schema()
    decision = contract.decision_output if contract else None
    shared = common_output(manifests[0].outputs, manifests[1].outputs, decision)
    if shared is None:
        raise ModelError(
            f"{manifests[0].ref} answers {manifests[0].outputs}, {manifests[1].ref} {manifests[1].outputs}: "
            "no output is in both",
            way_out="compare versions of one contract; without --sample and --last only the manifests are compared",
        )
    sides = [_ask(place, manifest, events.asked) for manifest in manifests]
    columns = manifests[0].outputs.index(shared), manifests[1].outputs.index(shared)
    threshold = contract.decision_threshold if contract and shared == decision else None
    return answers_diff(sides[0], sides[1], columns, shared, threshold)


def _ask(place: Place, manifest: Manifest, asked: Asked) -> Answered:
    """With the pipeline's decision where the version has its output: what would be published is compared, too."""
    model = place.registry.load(manifest.ref, manifest.digest).model
    contract = place.schema()
    decided = contract is not None and contract.decision_output in manifest.outputs
    schema = manifest.schema_of(
        contract.decision_output if contract and decided else None,
        contract.decision_threshold if contract and decided else None,
    )
    return answer_in_batches(model, asked.own(), schema, FeatureCheck(schema.features), MAX_ROWS)


def _table(first: str, second: str, changed: Sequence[Change]) -> Table | str:
    if not changed:
        return f"{first} and {second}: the manifests say the same."
    table = Table("", first, second, box=None, pad_edge=False)
    for change in changed:
        table.add_row(*(Text(_cell(value)) for value in (change.what, change.first, change.second)))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "-" if value in (None, "") else f"{value:,}" if type(value) is int else str(value)


def _said(answers: AnswersDiff, events: _Events, first: str, second: str) -> list[str]:
    lines = [f"\n{answers.rows:,} events of {events.where}: {answers.compared:,} answered by both"]
    for ref, missing in ((first, answers.first_missing), (second, answers.second_missing)):
        if missing.rows:
            lines.append(f"  {ref} has no answer to {missing.rows:,}; to the first: {missing.reason}")
    if not answers.compared:
        return lines
    if answers.agreement is not None:
        lines.append(
            f"  {answers.agreement:.3%} agree at the threshold {answers.threshold:g}; {answers.flips:,} decisions "
            f"differ: {answers.flips_to_yes:,} become yes, {answers.flips_to_no:,} become no"
        )
    lines.append(
        f"  {answers.output}: {answers.scores_equal:,} equal, {answers.values_equal:,} published values equal; "
        f"{second} - {first}: mean {answers.difference_mean:+.6g}, "
        f"size mean {answers.difference_magnitude:.6g}, max {answers.difference_max:.6g}"
    )
    return lines


def _worst(answers: AnswersDiff, events: _Events, first: str, second: str) -> Table:
    table = Table("furthest apart", first, second, "", "event", box=None, pad_edge=False)
    for worst in answers.worst:
        cells = (
            events.names[worst.row],
            f"{worst.first:.6g}",
            f"{worst.second:.6g}",
            "flips" if worst.flip else "",
            str(events.asked.rows[worst.row])[:MAX_SHOWN],
        )
        table.add_row(*map(Text, cells))
    return table


def _plain(answers: AnswersDiff, events: _Events) -> dict[str, Any]:
    worst = [
        {"event": events.names[each.row], **asdict(each), "fields": events.asked.rows[each.row]}
        for each in answers.worst
    ]
    return asdict(answers) | {"worst": worst}
