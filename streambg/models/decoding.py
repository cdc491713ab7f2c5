"""Record values -> rows: JSON, or a team's own decode hook. What is no row becomes the reason why.

A list of `dict | str`: a string is the reason of an event that could not be read. Reasons tell where the bytes go
wrong, never what they hold: reasons stand in topics and logs that more people may read than the input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from streambg.models.contract import Row
from streambg.models.foreign import theirs
from streambg.models.importing import import_entry
from streambg.models.reasons import RAISES, words

Decode = Callable[[Sequence[bytes | None]], list[Row | str]]
NO_VALUE = "no value (null)"
# the longest part of an event's own bytes, or of a hook's words about them, that a reason may repeat
MAX_QUOTED = 80

_decode = msgspec.json.Decoder().decode
_JSON_NAMES = {list: "array", str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}


def json_rows(values: Sequence[bytes | None]) -> list[Row | str]:
    """Each value as a dict, or the reason why it is none. The last of a doubled key counts."""
    try:
        whole = list(map(_decode, values))  # type: ignore[arg-type] # a null is a TypeError, and judged below
        if set(map(type, whole)) <= {dict}:
            return whole
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):
        pass  # one of them is no row: each is looked at by itself
    rows: list[Row | str] = []
    for value in values:
        if value is None:
            rows.append(NO_VALUE)
            continue
        try:
            row = _decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            rows.append(_why_not_json(error))
            continue
        rows.append(row if type(row) is dict else f"JSON {_JSON_NAMES[type(row)]}, an object is needed")
    return rows


def _why_not_json(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "not JSON: a string is not UTF-8"
    if isinstance(error, RecursionError):
        return "not JSON: nested too deeply"
    return f"not JSON: {str(error)[:MAX_QUOTED]}"


def decoder(entry: str | None, allowed: Sequence[str]) -> Decode:
    """JSON where no hook is declared, else the hook (see load_decode_hook, also for what it raises)."""
    return json_rows if entry is None else load_decode_hook(entry, allowed)


def load_decode_hook(entry: str, allowed: Sequence[str]) -> Decode:
    """`module:function` as a Decode; the function takes one value (bytes) and returns a dict.

    `allowed`: module prefixes that may be imported. Null values do not reach the hook; where it raises or returns no
    dict, the event gets an error row. Raises ModelError where the hook is not allowed, not there or not callable.
    """
    hook: Callable[[bytes], Any] = import_entry(entry, allowed, what="decode hook")

    def rows(values: Sequence[bytes | None]) -> list[Row | str]:
        with theirs():
            return [NO_VALUE if value is None else _hooked(hook, value) for value in values]

    return rows


def _hooked(hook: Callable[[bytes], Any], value: bytes) -> Row | str:
    try:
        row = hook(value)
    except RAISES as error:  # whatever a team's code raises concerns this one event
        return f"decode hook raised {type(error).__name__}: {words(error)[:MAX_QUOTED]}"
    if isinstance(row, dict):
        return row
    return f"decode hook returned {type(row).__name__}, a dict is needed"
