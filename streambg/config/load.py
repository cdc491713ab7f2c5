"""From a file to a Pipeline, or to an error that names every line that is wrong."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from streambg.config.checks import client_keys, contradictions, literal_secrets
from streambg.config.environment import expand
from streambg.config.redaction import is_secret, redact_text
from streambg.config.sections import Pipeline
from streambg.config.yamlfile import At, Document, Problem, read, show

# Sections of the contract that later versions fill; never ignored in silence.
NOT_YET: tuple[At, ...] = (
    ("labels",),
    ("segments",),
    ("metrics",),
    *(("rollout", key) for key in ("alpha", "coverage", "steps", "on_abort", "on_inconclusive", "after_promotion")),
)


def load(path: Path, env: Mapping[str, str]) -> Pipeline:
    """The pipeline that a file describes; `${NAME:-default}` is filled from `env`.

    Raises ConfigError that lists every problem as `file:line: key: what is wrong`, with the nearest right key.
    """
    document = read(path, lambda text: expand(text, env))
    problems = [*_take_not_yet(document), *literal_secrets(document.raw), *client_keys(document.values)]
    pipeline: Pipeline | None = None
    try:
        pipeline = Pipeline.model_validate(document.values, context={"directory": path.parent})
    except ValidationError as error:
        # the error holds the values, secrets among them: it must not be chained to what is shown
        problems += [_problem(dict(detail), document) for detail in error.errors(include_url=False)]
    if pipeline is not None:
        problems += contradictions(pipeline)
    if problems or pipeline is None:
        raise document.error(problems)
    pipeline._file = path
    return pipeline


def _take_not_yet(document: Document) -> list[Problem]:
    problems = []
    for at in NOT_YET:
        section: Any = document.values
        for step in at[:-1]:
            section = section.get(step) if isinstance(section, dict) else None
        if isinstance(section, dict) and at[-1] in section:
            del section[at[-1]]
            problems.append(Problem(at, f"not yet: `{show(at)}` comes with a later version; remove it"))
    return problems


def _problem(detail: dict[str, Any], document: Document) -> Problem:
    at: At = tuple(detail["loc"])
    kind, given = detail["type"], detail.get("input")
    if kind == "extra_forbidden":
        return Problem(at, f"no such key{_nearest(at)}")
    if kind == "missing":
        return Problem(at, "is missing")
    if kind == "value_error":
        return Problem(at, str(detail["msg"]).removeprefix("Value error, "))
    text = re.sub(r"^(Input|String|Dictionary|Tuple|List|Value) (?=should)", "", str(detail["msg"]))
    if kind == "string_pattern_mismatch":
        text = f"should match {detail['ctx']['pattern']}"
    if kind == "literal_error" and isinstance(given, str):
        choices = [word.strip("'") for word in str(detail["ctx"]["expected"]).replace(" or ", ", ").split(", ")]
        close = difflib.get_close_matches(given, choices, 1)
        text += f"; did you mean `{close[0]}`?" if close else ""
    secret = any(is_secret(str(step)) for step in at)
    return Problem(at, f"{'the secret' if secret else _short(given)} {text}")


def _short(given: object) -> str:
    if isinstance(given, dict):
        return "a mapping of keys"
    if isinstance(given, list):
        return "a list"
    return redact_text(repr(given)[:100])


def _nearest(at: At) -> str:
    """The right key near a wrong one: among its neighbours, else the same key in another section."""
    wrong = str(at[-1])
    neighbours = _keys(_model_at(at[:-1]))
    close = difflib.get_close_matches(wrong, neighbours, 1)
    if close:
        return f"; did you mean `{close[0]}`?"
    for section, model in _sections(Pipeline, ()):
        if wrong in _keys(model):
            return f"; it belongs to `{show(section)}`" if section else "; it belongs to the top of the file"
    return f"; the keys here are {', '.join(neighbours)}" if neighbours else ""


def _sections(model: type[BaseModel], at: At) -> list[tuple[At, type[BaseModel]]]:
    found: list[tuple[At, type[BaseModel]]] = [(at, model)]
    for key in _keys(model):
        inner = _model_at((*at, key))
        if inner is not None:
            found += _sections(inner, (*at, key))
    return found


def _keys(model: type[BaseModel] | None) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _model_at(at: At) -> type[BaseModel] | None:
    model: type[BaseModel] | None = Pipeline
    for step in at:
        fields = model.model_fields.items() if model else ()
        annotation = next((field.annotation for name, field in fields if (field.alias or name) == step), None)
        candidates = [annotation, *get_args(annotation)]
        model = next((kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    return model
