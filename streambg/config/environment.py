"""`${NAME}` and `${NAME:-default}` in the text of a file. Pure: the environment is an argument."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

# `$${` is a literal `${`; the last alternative catches what was meant as a reference and is none.
_REFERENCE = re.compile(
    r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<broken>\$\{[^}]*\}?)"
)


class BadReference(ValueError):
    """A `${...}` that names nothing; the text says which and why."""


def expand(text: str, env: Mapping[str, str]) -> str:
    """The text with every reference replaced; a default stands in where the variable is unset or empty.

    Raises BadReference where a variable without default is unset, or where `${...}` is malformed. What comes from
    the environment is not expanded again.
    """

    def value(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if match["broken"]:
            raise BadReference(f"`{match['broken']}` is no reference; write ${{NAME}} or ${{NAME:-default}}")
        if name is None:
            return "${"
        found = env.get(name)
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


def _nearest(name: str, env: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(name, [key for key in env if key.startswith("STREAMBG_")], 1)
    return f"; `{close[0]}` is set" if close else ""
