"""topics/*.yaml as values: what each topic of a pipeline must be, who writes it and who reads it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError

from streambg.config import Pipeline
from streambg.config.environment import expand
from streambg.config.explain import explain
from streambg.config.shipped import shipped
from streambg.config.values import parse_duration, said
from streambg.config.yamlfile import Document, Problem, read
from streambg.errors import ConfigError
from streambg.process.ctrl_c import ctrl_c_waits

# A topic's part in a pipeline, and the name of its file.
Part = Literal[
    "dead-letters",
    "output",
    "predictions.blue",
    "predictions.green",
    "control",
    "cutovers",
    "evidence",
    "verdicts",
    "input",
    "labels",
]
# P13: the order in which topics are created and partitions added. Whoever sees a partition of the input finds the
# partitions of that number everywhere else.
PARTS: tuple[Part, ...] = get_args(Part)
Role = Literal["yours", "scorer.blue", "scorer.green", "publisher", "comparator", "controller", "operator", "audit"]

# Values of `config` that depend on the input: the same, or so much more.
_AS_INPUT = re.compile(r"as-input(?: \+ (\d{1,6}) KiB)?")
FOREVER = "-1"
NO_TOPIC_FILE = "copy it from the topics/ of a new pipeline: streambg init NAME"


class AsInput(BaseModel):
    """The input's value of the same setting, plus some bytes."""

    model_config = ConfigDict(frozen=True)
    plus: int = 0


class Auto(BaseModel):
    """`auto`: by the number of replicas."""

    model_config = ConfigDict(frozen=True)


Value = str | AsInput | Auto


def _config(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    return {key: _value(str(key), item) for key, item in value.items()}


def _value(key: str, value: object) -> Value:
    """Kafka takes every value as text; we add durations, `forever`, `auto` and what depends on the input."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return str(value)
    if match := _AS_INPUT.fullmatch(value):
        return AsInput(plus=int(match[1] or 0) * 1024)
    if value == "forever":
        return FOREVER
    if value == "auto":
        if key != "min.insync.replicas":
            raise ValueError(f"`auto` is known for min.insync.replicas, not for {key}")
        return Auto()
    return str(parse_duration(value)) if key.endswith(".ms") and not re.fullmatch(r"-?\d+", value) else value


def _count(*words: str) -> PlainValidator:
    def check(value: object) -> object:
        if value in words or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
            return value
        raise ValueError(f"{said(value)} is neither a number from 1 nor {' nor '.join(words)}")

    return PlainValidator(check)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    what: str
    owner: Literal["streambg", "yours"]
    partitions: Annotated[int | Literal["as-input", "yours", "any"], _count("as-input", "yours", "any")]
    replication: Annotated[int | Literal["auto"], _count("auto")] = "auto"
    writers: tuple[Role, ...] = Field(min_length=1)
    readers: tuple[Role, ...] = Field(min_length=1)
    value: str
    config: Annotated[dict[str, Value], BeforeValidator(_config)] = Field(default_factory=dict)


class Declared(_File):
    """One file of `topics/`.

    partitions: a number; `as-input`; `yours`: who creates it says it; `any`: created as the input, else as it is.
    """

    part: Part

    @property
    def yours(self) -> bool:
        return self.owner == "yours"


def directory(pipeline: Pipeline) -> Path:
    """`topics/` beside the pipeline file; else the package's own; in a checkout, the repository's."""
    beside = pipeline.file.parent / "topics"
    return beside if (beside / "control.yaml").is_file() else shipped("topics")


@ctrl_c_waits()
def load_topics(pipeline: Pipeline) -> list[Declared]:
    """Every topic of the pipeline, in the order of P13. Raises ConfigError with file and line."""
    folder = directory(pipeline)
    for path in sorted(folder.glob("*.y*ml")):
        if path.name.removesuffix(".yaml") not in PARTS:
            close = difflib.get_close_matches(path.stem, PARTS, 1)
            hint = f"; did you mean {close[0]}.yaml?" if close else ""
            raise ConfigError(f"{path}: no topic of a pipeline{hint}", way_out=f"the files are {', '.join(PARTS)}")
    return [_load(folder / f"{part}.yaml", part, pipeline) for part in names(pipeline)]


def names(pipeline: Pipeline) -> dict[Part, str]:
    """What processes call each topic."""
    topics = pipeline.topics
    ours: dict[Part, str] = {
        "dead-letters": topics.dead_letters,
        "output": topics.output,
        "predictions.blue": topics.predictions("blue"),
        "predictions.green": topics.predictions("green"),
        "control": topics.control,
        "cutovers": topics.cutovers,
        "evidence": topics.evidence,
        "verdicts": topics.verdicts,
        "input": topics.input,
    }
    return ours if pipeline.labels is None else {**ours, "labels": pipeline.labels.topic}


def _load(path: Path, part: Part, pipeline: Pipeline) -> Declared:
    known = {"pipeline": pipeline.name, "input": pipeline.topics.input, "output": pipeline.topics.output}
    if pipeline.labels is not None:
        known["labels"] = pipeline.labels.topic
    document = read(path, lambda text: expand(text, known), NO_TOPIC_FILE)
    try:
        _File.model_validate(document.values)
    except ValidationError as error:
        raise document.error(explain(error, _File, document.values)) from None
    declared = Declared.model_validate({**document.values, "part": part})
    _check(declared, document, names(pipeline)[part])
    return declared


def _check(declared: Declared, document: Document, called: str) -> None:
    problems = []
    if declared.name != called:
        problems.append(Problem(("name",), f"`{declared.name}`, but the processes of this pipeline use `{called}`"))
    if (declared.partitions == "yours") != (declared.part == "input"):
        problems.append(Problem(("partitions",), "`yours` is for the input, and the input's; others say as-input or 1"))
    if (declared.partitions == "any") != (declared.part == "labels"):
        problems.append(Problem(("partitions",), "`any` is for labels, and theirs; others say as-input or 1"))
    if declared.part == "input" and any(isinstance(value, AsInput) for value in declared.config.values()):
        problems.append(Problem(("config",), "the input itself cannot say `as-input`"))
    if declared.yours != (declared.part in ("input", "output", "labels")):
        problems.append(Problem(("owner",), "input, output and labels are `yours`, the others are `streambg`"))
    if problems:
        raise document.error(problems)
