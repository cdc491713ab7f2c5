"""What pydantic found wrong, in the words of the file it was read from."""

from __future__ import annotations

import difflib
import re
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from streambg.config.redaction import is_secret, redact_text
from streambg.config.yamlfile import At, Problem, show


def explain(error: ValidationError, root: type[BaseModel]) -> list[Problem]:
    """One problem for each thing that pydantic found, with the nearest right key or value; no secret is named."""
    return [_problem(dict(detail), root) for detail in error.errors(include_url=False)]


def _problem(detail: dict[str, Any], root: type[BaseModel]) -> Problem:
    at: At = tuple(detail["loc"])
    kind, given = detail["type"], detail.get("input")
    if kind == "extra_forbidden":
        return Problem(at, f"no such key{_nearest(at, root)}")
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


def _nearest(at: At, root: type[BaseModel]) -> str:
    """The right key near a wrong one: among its neighbours, else the same key in another section."""
    wrong = str(at[-1])
    neighbours = _keys(_model_at(at[:-1], root))
    close = difflib.get_close_matches(wrong, neighbours, 1)
    if close:
        return f"; did you mean `{close[0]}`?"
    for section, model in _sections(root, (), root):
        if wrong in _keys(model):
            return f"; it belongs to `{show(section)}`" if section else "; it belongs to the top of the file"
    return f"; the keys here are {', '.join(neighbours)}" if neighbours else ""


def _sections(model: type[BaseModel], at: At, root: type[BaseModel]) -> list[tuple[At, type[BaseModel]]]:
    found: list[tuple[At, type[BaseModel]]] = [(at, model)]
    for key in _keys(model):
        inner = _model_at((*at, key), root)
        if inner is not None:
            found += _sections(inner, (*at, key), root)
    return found


def _keys(model: type[BaseModel] | None) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _model_at(at: At, root: type[BaseModel]) -> type[BaseModel] | None:
    model: type[BaseModel] | None = root
    inside = False  # a mapping or a list of sections: the next step is a name or a number, and no key
    for step in at:
        if inside:
            inside = False
            continue
        fields = model.model_fields.items() if model else ()
        annotation = next((field.annotation for name, field in fields if (field.alias or name) == step), None)
        candidates = [annotation, *get_args(annotation)]
        model = next((kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        inside = get_origin(annotation) in (dict, tuple)
    return model
