"""The verbs that write the control log, and `history` that reads it."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from confluent_kafka.admin import AdminClient

from streambg.adopting.group import members
from streambg.cli.common import (
    DEFAULT_PIPELINE,
    Output,
    OutputOption,
    PipelineOption,
    ReasonOption,
    actor,
    connected_pipeline,
    print_json,
    stderr,
    stdout,
)
from streambg.cli.completing import ColorArgument, Ref, one_of
from streambg.cli.records import args_of, command_of, record_lines
from streambg.config import Pipeline
from streambg.config.values import parse_weight
from streambg.control import verbs
from streambg.control.commands import VERBS
from streambg.control.contract import contract
from streambg.control.fold import Entry
from streambg.control.sender import Sent
from streambg.control.verbs import Said
from streambg.errors import ConfigError, StreambgError
from streambg.kafka import profiles
from streambg.printing import Paragraph
from streambg.records.source import COLORS, Color
from streambg.scoring.site import in_force

app = typer.Typer()
_PLACE = re.compile(r"(\d{1,6}):(\d{1,18})", re.ASCII)
EpochOption = Annotated[
    int | None,
    typer.Option(
        "--expected-epoch", min=-1, help="Refuse unless this epoch is in force. Default: the one in force now."
    ),
]
CandidateOption = Annotated[
    int | None,
    typer.Option("--candidate", help="Deployment it was decided for. Default: the candidate in force now."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Even where the candidate lags, or the verdict says abort.")]


def weight_of(text: str, option: str = "") -> int:
    """`10`, `10%` or `12.34` as hundredths of a percent. Raises ConfigError; `0.5` may mean a half, and is refused."""
    try:
        weight = parse_weight(text.strip())
    except ValueError:
        raise ConfigError(
            f"{option} {text!r} is no weight".strip(),
            way_out="a weight is 0 to 100 percent with at most two decimals: 10, 10%, 12.34",
        ) from None
    if 0 < weight < 100 and not text.strip().endswith("%"):
        raise ConfigError(f"{text!r} may be a share or percent", way_out=f"for percent write it: {text.strip()}%")
    return weight


def sample_of(text: str | None) -> int | None:
    """What --sample says, as a weight; None: all keys. Raises ConfigError."""
    share = None if text is None else weight_of(text, "--sample")
    if share == 0:
        raise ConfigError(f"--sample {text} scores nothing", way_out="0.01% at least, or leave it out for all keys")
    return share


def color_of(text: str) -> Color:
    """Raises ConfigError where it is none."""
    for color in COLORS:
        if text == color:
            return color
    raise ConfigError(f"{text!r} is no color", way_out="blue or green")


def _start_of(text: str | None) -> verbs.Start | None:
    if text is None or text in ("earliest", "latest"):
        return text  # type: ignore[return-value] # one of the two words
    found: dict[int, int] = {}
    for pair in text.split(","):
        match = _PLACE.fullmatch(pair.strip())
        if match is None:
            raise ConfigError(f"--start {text!r} is no start", way_out="earliest, latest, or offsets: 0:120,1:98")
        if int(match[1]) in found:
            raise ConfigError(f"--start names partition {match[1]} twice", way_out="say one offset for each")
        found[int(match[1])] = int(match[2])
    return found


def say(sent: Sent, output: Output, **more: Any) -> None:
    """What became of the command; JSON also says `more`. Raises Refused where it was not accepted."""
    if output is Output.JSON:
        print_json(
            {
                "verb": sent.verb,
                "accepted": sent.accepted,
                "offset": sent.offset,
                "epoch": sent.epoch,
                "refusal": sent.refusal,
                "in_force": sent.state.summary(),
                "ended_rollout": sent.ended.id if sent.ended else None,
                "notes": list(sent.notes),
                **more,
            }
        )
    sent.or_raise()
    if output is Output.TEXT:
        stdout.print(f"[green]{sent.verb} accepted[/]: {sent.state.summary()}", highlight=False)
        for note in sent.notes:
            stdout.print(Paragraph(f"  {note}", indent=4), crop=False)


@app.command(epilog="Example:  streambg deploy green fraud:8 --reason 'retrained on October'")
def deploy(  # noqa: PLR0913 - Typer's form: an option is an argument
    color: ColorArgument,
    model: Ref,
    sample: Annotated[
        str | None, typer.Option(help="Score only this share of the keys until the first weight: 5%")
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="First deploy only: earliest, latest (default), or offsets 0:120,1:98")
    ] = None,
    gives_up_rollback: Annotated[
        bool, typer.Option("--gives-up-rollback", help="Take the slot kept for a rollback.")
    ] = False,
    rescore: Annotated[bool, typer.Option("--rescore", help="Give live's lost predictions again, same model.")] = False,
    accept_contract_change: Annotated[
        bool,
        typer.Option("--accept-contract-change", help="Go on although it answers otherwise than live; recorded."),
    ] = False,
    reason: ReasonOption = "",
    expected_epoch: EpochOption = None,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """Put a model into a color. The first goes live at once, later ones are candidates at weight 0.

    Before, live and the model are asked the input's newest events: where fields, types, ranges or labels of the answers
    differ, or answers are missing, it is refused with exit code 14.
    """
    slot, share, begin = color_of(color), sample_of(sample), _start_of(start)
    config = connected_pipeline(pipeline, by_offsets=True)
    # a rescore brings nothing new: it is live's own digest (P29)
    with stderr.status(f"Asking live and {model} the newest events ..."):
        found = None if rescore else contract(config, model)
    if found is not None and not accept_contract_change:
        if found.found and output is Output.JSON:
            print_json({"verb": "deploy", "accepted": False, "contract": asdict(found)})
        found.or_raise()
    with verbs.client(config) as control:
        before = in_force(control.state(), slot)  # a retired one's scorers have left
        sent = verbs.deploy(
            control,
            config,
            slot,
            model,
            Said(actor(), reason),
            sample=share,
            start=begin,
            gives_up_rollback=gives_up_rollback,
            rescore=rescore,
            contract_change=found.record() if found else (),
            expected_epoch=found.epoch if found and expected_epoch is None else expected_epoch,
        )
    if sent.accepted and before is not None:
        sent = replace(sent, known=_without_scorer(config, slot))
    say(sent, output, contract=asdict(found) if found else None)
    if found is not None and output is Output.TEXT:
        for line in [*found.record(), *found.notes] or [f"the contract holds on {found.compared:,} events"]:
            stdout.print(f"  {line}", markup=False, highlight=False)
    if share is not None and sent.accepted and output is Output.TEXT:
        stdout.print(f"  scores {share / 100:g} % of the keys until the first weight", highlight=False)


def _without_scorer(config: Pipeline, color: Color) -> tuple[str, ...]:
    """What a person should know where the color's group has no member; nothing where that cannot be known.

    Only of a color that had a model: who waits for a first one is no member yet (scoring/process.py).
    """
    client = AdminClient({**profiles.admin(config, verbs.CLIENT), **verbs.QUIET})
    try:
        found = members(client, config.groups.scorer(color))
    except StreambgError:  # the deploy counts all the same
        return ()
    if found:
        return ()
    said = f"no scorer of {color} is in its group (`streambg status`)"
    return (f"{said}: where none runs, streambg up, or python -m consumers.scorer --color {color}",)


@app.command(epilog="Example:  streambg shift 10%")
def shift(
    weight: Annotated[str, typer.Argument(help="The candidate's share of the keys in percent: 10, 12.34, 0.5%")],
    force: ForceOption = False,
    reason: ReasonOption = "",
    candidate: CandidateOption = None,
    expected_epoch: EpochOption = None,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """Publish the candidate's answers for a share of the keys."""
    share = weight_of(weight)
    config = connected_pipeline(pipeline)
    with verbs.client(config) as control:
        sent = verbs.shift(
            control,
            config,
            share,
            Said(actor(), reason),
            force=force,
            candidate=candidate,
            expected_epoch=expected_epoch,
        )
    say(sent, output)


@app.command(epilog="Example:  streambg promote --expected-epoch 17")
def promote(
    force: ForceOption = False,
    reason: ReasonOption = "",
    candidate: CandidateOption = None,
    expected_epoch: EpochOption = None,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make the candidate live; the old live color goes on scoring, ready for a rollback."""
    config = connected_pipeline(pipeline)
    with verbs.client(config) as control:
        sent = verbs.promote(
            control,
            config,
            Said(actor(), reason),
            force=force,
            candidate=candidate,
            expected_epoch=expected_epoch,
        )
    say(sent, output)


def _plain(verb: str, text: str, example: str) -> None:
    def command(
        reason: ReasonOption = "",
        expected_epoch: EpochOption = None,
        pipeline: PipelineOption = DEFAULT_PIPELINE,
        output: OutputOption = Output.TEXT,
    ) -> None:
        config = connected_pipeline(pipeline)
        with verbs.client(config) as control:
            sent = verbs.plain(control, verb, Said(actor(), reason), expected_epoch=expected_epoch)  # type: ignore[arg-type] # one of the four below
        say(sent, output)

    app.command(verb, help=text, epilog=f"Example:  {example}")(command)


_plain("rollback", "Go back to the deployment that was live before the last promote.", "streambg rollback")
_plain("abort", "Take a candidate back before it is promoted: weight 0, it goes on scoring.", "streambg abort")
_plain("pause", "Refuse shift and promote until `resume`; publication goes on.", "streambg pause --reason 'month end'")
_plain("resume", "Allow shift and promote again.", "streambg resume")


@app.command(epilog="Example:  streambg retire blue")
def retire(
    color: ColorArgument,
    reason: ReasonOption = "",
    expected_epoch: EpochOption = None,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """Stop scoring with the deployment in a color that is neither live nor has weight."""
    slot, config = color_of(color), connected_pipeline(pipeline)
    with verbs.client(config) as control:
        sent = verbs.retire(control, slot, Said(actor(), reason), expected_epoch=expected_epoch)
    say(sent, output)


@app.command(epilog="Example:  streambg history --last 20 --refused")
def history(
    last: Annotated[int, typer.Option(min=1, help="How many records, the newest last.")] = 50,
    verb: Annotated[
        list[str] | None,
        typer.Option("--verb", help="Only this verb; repeatable.", autocompletion=one_of(VERBS)),
    ] = None,
    accepted: Annotated[
        bool | None, typer.Option("--accepted/--refused", help="Only what was accepted, or only what was refused.")
    ] = None,
    pipeline: PipelineOption = DEFAULT_PIPELINE,
    output: OutputOption = Output.TEXT,
) -> None:
    """The control log: every command, accepted or refused, and why."""
    if unknown := next((each for each in verb or () if each not in VERBS), None):
        raise ConfigError(f"{unknown!r} is no verb of the control log", way_out=f"one of {', '.join(VERBS)}")
    config = connected_pipeline(pipeline)
    chosen = [
        entry
        for entry in verbs.entries(config)
        if (not verb or (entry.envelope is not None and entry.envelope.verb in verb))
        and accepted in (None, entry.accepted)
    ]
    if output is Output.JSON:
        print_json([_row(entry) for entry in chosen[-last:]])
        return
    stdout.print(f"{config.topics.control}, the newest last:", markup=False, highlight=False, soft_wrap=True)
    for entry in chosen[-last:]:
        stdout.print(record_lines(entry, command_of(entry)), crop=False)


def _row(entry: Entry) -> dict[str, Any]:
    envelope = entry.envelope
    return {
        "offset": entry.offset,
        "appended": datetime.fromtimestamp(entry.appended_ms / 1_000, UTC).isoformat(timespec="milliseconds"),
        "command": command_of(entry),
        "verb": envelope.verb if envelope else None,
        "args": args_of(envelope) if envelope else {},
        "id": envelope.id if envelope else None,
        "actor": envelope.actor if envelope else "",
        "reason": envelope.reason if envelope else "",
        "expected_epoch": envelope.expected_epoch if envelope else None,
        "accepted": entry.accepted,
        "refusal": entry.refusal,
        "in_force": entry.state.summary(),
    }
