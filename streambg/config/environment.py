"""`${NAME}` and `${NAME:-default}` in the text of a file. Pure: the environment is an argument."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

# `$${` is a literal `${`; the last alternative catches what was meant as a reference and is none.
_REFERENCE = re.compile(
    r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<broken>\$\{[^}]*\}?)"
)


# Line ends and tabs stand in certificates. No server takes the other control characters, nor the lone surrogates that
# Python makes of an environment's bytes that are no UTF-8: pydantic fails on them with an error of its own machinery.
_UNPRINTABLE = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")


class BadReference(ValueError):
    """A `${...}` that names nothing; the text says which and why."""


def expand(text: str, env: Mapping[str, str]) -> str:
    """The text with every reference replaced; a default stands in where the variable is unset or empty.

    Raises BadReference where a variable without default is unset or what it holds is no text, or where `${...}` is
    malformed. What comes from the environment is not expanded again.
    """

    def value(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if match["broken"]:
            raise BadReference(f"`{match['broken']}` is no reference; write ${{NAME}} or ${{NAME:-default}}")
        if name is None:
            return "${"
        found = env.get(name)
        if wrong := unprintable(found or ""):
            raise BadReference(f"`${{{name}}}` holds {wrong}; a value is text in UTF-8")
        if default is not None:
            return found or default
        if found is None:
            raise BadReference(f"`${{{name}}}` is not set and has no default{_nearest(name, env)}")
        return found

    return _REFERENCE.sub(value, text)


def written(text: str) -> str:
    """What the file itself says: references without default are empty, others their default.

    A secret whose `written` text is not empty stands in the file.
    """
    return expand(
        _REFERENCE.sub(lambda match: "" if match["name"] and match["default"] is None else match[0], text), {}
    )


def unprintable(text: str) -> str:
    """What is in a text that no value can have; empty where nothing is. The text itself may be a secret."""
    match = _UNPRINTABLE.search(text)
    if match is None:
        return ""
    return "bytes that are no UTF-8" if match[0] >= "\ud800" else "a control character"


def filled_from(text: str, env: Mapping[str, str]) -> list[str]:
    """The variables whose values stand in a text once it is expanded; one that its default stands in for is none."""
    names = (match["name"] for match in _REFERENCE.finditer(text))
    return list(dict.fromkeys(name for name in names if name and env.get(name)))


def _nearest(name: str, env: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(name, [key for key in env if key.startswith("STREAMBG_")], 1)
    return f"; `{close[0]}` is set" if close else ""
