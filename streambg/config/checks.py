"""What one field cannot know of itself: contradictions between the sections of a pipeline file. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from streambg.config.clientkeys import ALLOWED, PUBLIC, refusal
from streambg.config.environment import written
from streambg.config.redaction import is_secret, redact_text
from streambg.config.sections import Pipeline
from streambg.config.yamlfile import At, Problem
from streambg.records.batch import MAX_CARRY_FIELDS
from streambg.records.outcome import HEADER


def contradictions(pipeline: Pipeline) -> list[Problem]:
    return [*_topics(pipeline), *_input(pipeline), *_model(pipeline), *_replay(pipeline)]


def client_keys(values: Mapping[str, Any]) -> list[Problem]:
    """Keys of `kafka.client` that weaken the guarantee, or that no client knows."""
    kafka = values.get("kafka")
    client = kafka.get("client") if isinstance(kafka, dict) else None
    reasons = {key: refusal(key) for key in client} if isinstance(client, dict) else {}
    return [Problem(("kafka", "client", key), reason) for key, reason in reasons.items() if reason]


def literal_secrets(raw: Mapping[At, str]) -> list[Problem]:
    """Secrets that stand in the file itself: it is read by people, copied and committed."""
    problems = []
    for at, text in raw.items():
        key = str(at[-1]) if at else ""
        secret = at[:2] == ("kafka", "client") and key in ALLOWED - PUBLIC and is_secret(key)
        secret = secret or at == ("notify", "secret")
        if secret and written(text):
            problems.append(Problem(at, f"a secret must not stand in the file; write ${{{_variable(key)}}}"))
        if at == ("redis",) and redact_text(written(text)) != written(text):
            problems.append(Problem(at, "a password must not stand in the file; write ${STREAMBG_REDIS}"))
    return problems


def _variable(key: str) -> str:
    return "STREAMBG_" + key.upper().replace(".", "_")


def _topics(pipeline: Pipeline) -> Iterator[Problem]:
    if pipeline.input.topic == pipeline.output.topic:
        yield Problem(("output", "topic"), f"`{pipeline.output.topic}` is the input too; answers would be scored again")
    for section, topic in (("input", pipeline.input.topic), ("output", pipeline.output.topic)):
        if topic in pipeline.topics.ours:
            yield Problem((section, "topic"), f"`{topic}` is one of streambg's own topics of this pipeline")


def _input(pipeline: Pipeline) -> Iterator[Problem]:
    section = pipeline.input
    if (section.format is None) == (section.decode is None):
        both = "both `format` and `decode` are given" if section.format else "neither `format` nor `decode` is given"
        yield Problem(("input",), f"{both}; one of them says how bytes become an event")
    yield from repeated(("input", "carry"), section.carry_declared)
    yield from repeated(("input", "forward_headers"), section.forward_headers)
    if len(section.carry) > MAX_CARRY_FIELDS:
        bucket = " with the `bucket_by` field" if section.carry != section.carry_declared else ""
        yield Problem(("input", "carry"), f"{len(section.carry)} fields{bucket}, the limit is {MAX_CARRY_FIELDS}")
    if HEADER in section.forward_headers:
        yield Problem(("input", "forward_headers"), f"`{HEADER}` is the header that streambg itself writes")


def _model(pipeline: Pipeline) -> Iterator[Problem]:
    contract = pipeline.model
    yield from repeated(("model", "outputs"), contract.outputs)
    if contract.decision.output not in contract.outputs:
        close = difflib.get_close_matches(contract.decision.output, contract.outputs, 1, 0.0)
        yield Problem(
            ("model", "decision", "output"),
            f"`{contract.decision.output}` is none of the outputs; did you mean `{close[0]}`?",
        )


def _replay(pipeline: Pipeline) -> Iterator[Problem]:
    """A misspelt field would be shown: only what is declared can be, so only that can be masked."""
    section, declared = pipeline.replay, [*pipeline.model.features, *pipeline.input.carry]
    for key, names in (("mask", section.mask), ("show", section.show)):
        at: At = ("replay", key)
        yield from repeated(at, names)
        for name in names:
            if name not in declared:
                near = difflib.get_close_matches(name, declared, 1)
                hint = f"did you mean `{near[0]}`?" if near else f"they are {', '.join(declared)}"
                yield Problem(at, f"`{name}` is neither a feature nor carried, so no report shows it; {hint}")
    for name in section.mask:
        if name in section.show:
            yield Problem(("replay", "show"), f"`{name}` is in `replay.mask`, too; name it in one of them")


def repeated(at: At, values: Sequence[str]) -> Iterator[Problem]:
    """Values that a list names more than once."""
    for value in dict.fromkeys(value for value in values if values.count(value) > 1):
        yield Problem(at, f"`{value}` is named {values.count(value)} times")
