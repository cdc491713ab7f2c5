"""What pydantic found wrong, in the words of the file it was read from."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from streambg.config.redaction import is_secret, redact_text
from streambg.config.values import parse_duration, parse_percent, said, show_duration, show_percent
from streambg.config.yamlfile import At, Problem, show

# What pydantic says of a type is a programmer's word for it.
_LISTS = ("list_type", "tuple_type", "set_type", "frozen_set_type")
_NO = {
    **dict.fromkeys(_LISTS, "is no list"),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type"), "is no mapping; write `key: value`"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "is no whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "is no number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "is neither true nor false"),
    "string_type": "is no text",
    "path_type": "is no path",
}
# The name of the limit in the error's context, and what is said of a value beyond it.
_LIMITS = {
    "greater_than_equal": ("ge", "is below the least,"),
    "greater_than": ("gt", "is not above"),
    "less_than_equal": ("le", "is above"),
    "less_than": ("lt", "is not below"),
}
# Of a value that is shown: enough to find it in the file.
_SHOWN = 100


def explain(error: ValidationError, root: type[BaseModel], values: Mapping[str, Any]) -> list[Problem]:
    """One problem for each thing that pydantic found, with the nearest right key or value; no secret is named.

    values: what was validated, as the file has it: pydantic knows `50ms` only as 50.
    """
    return [_problem(dict(detail), root, values) for detail in error.errors(include_url=False)]


def _problem(detail: dict[str, Any], root: type[BaseModel], values: Mapping[str, Any]) -> Problem:
    at: At = tuple(detail["loc"])
    kind, given = detail["type"], detail.get("input")
    if kind == "extra_forbidden":
        return Problem(at, f"no such key{_nearest(at, root)}")
    if kind == "missing":
        return Problem(at, "is missing")
    if kind == "value_error":
        return Problem(at, str(detail["msg"]).removeprefix("Value error, "))
    secret = any(is_secret(str(step)) for step in at)
    shown = "the secret" if secret else _short(given)
    if kind in ("too_short", "too_long"):
        return Problem(at, _count(kind, detail["ctx"]))
    if kind in _NO:
        return Problem(at, f"{shown} {_NO[kind]}{'' if secret else _instead(kind, given)}")
    if kind in _LIMITS:
        return Problem(at, _beyond(kind, detail["ctx"], given, None if secret else _written(at, values)))
    text = re.sub(r"^(Input|String|Dictionary|Tuple|List|Value) (?=should)", "", str(detail["msg"]))
    if kind == "string_pattern_mismatch":
        text = f"should match {detail['ctx']['pattern']}"
    if kind == "literal_error" and isinstance(given, str):
        choices = [word.strip("'") for word in str(detail["ctx"]["expected"]).replace(" or ", ", ").split(", ")]
        close = difflib.get_close_matches(given, choices, 1)
        text += f"; did you mean `{close[0]}`?" if close else ""
    return Problem(at, f"{shown} {text}")


def _short(given: object) -> str:
    return _cut(said(given))


def _cut(text: str) -> str:
    """Masked before it is cut: of an address without its end nobody sees where the password ends."""
    return redact_text(text)[:_SHOWN]


def _instead(kind: str, given: object) -> str:
    """What to write instead, where the value itself is what was meant."""
    if not isinstance(given, str | int | float):
        return ""
    plain = given if isinstance(given, str) else said(given)
    if kind in _LISTS:
        return f"; write [{_cut(plain)}]"
    return "; put it in quotes" if kind == "string_type" else ""


def _count(kind: str, context: Mapping[str, Any]) -> str:
    long = kind == "too_long"
    limit = f"the limit is {context['max_length']}" if long else f"at least {context['min_length']} must be there"
    return f"has {context['actual_length']} entries, {limit}"


def _beyond(kind: str, context: Mapping[str, Any], given: object, written: object) -> str:
    """In the unit that the file has it in."""
    name, words = _LIMITS[kind]
    limit = context[name]
    units: tuple[tuple[Callable[[object], float], Callable[[Any], str]], ...]
    units = ((parse_duration, show_duration), (parse_percent, show_percent))
    for parse, show_limit in units:
        with suppress(ValueError):
            if parse(written) == given:
                return f"{_cut(str(written))} {words} {show_limit(limit)}"
    return f"{_short(given)} {words} {limit}"


def _written(at: At, values: Mapping[str, Any]) -> object:
    found: Any = values
    for step in at:
        try:
            found = found[step]
        except (KeyError, IndexError, TypeError):  # a default, or a step that is pydantic's own
            return None
    return found


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
