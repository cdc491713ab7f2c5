"""Secrets never reach a log, a report or a traceback: what is shown goes through here. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

MASK = "***"

# By name, and rather too much than too little: a masked public certificate costs nobody anything.
_SECRET = re.compile(
    r"passw|passphrase|secret|pem\b|jaas|credential(?!s\.client\.id)|ssl[._]key$|^ssl_|private\.key(?!\.file)"
    r"|token(?!\.endpoint|_refresh)|oauthbearer\.config",
    re.IGNORECASE,
)
# Up to the last @: a password with an unescaped / or @ in it is masked whole.
_URL_PASSWORD = re.compile(r"(://[^:/@\s]*:)\S+@")
_QUERY_PASSWORD = re.compile(r"([?&](?:password|secret|token)=)[^&\s]*", re.IGNORECASE)


def is_secret(key: str) -> bool:
    """Does a setting of this name hold a secret?"""
    return _SECRET.search(key) is not None


def redact_text(text: str) -> str:
    """A text with the passwords of the URLs in it masked: `redis://:***@host:6379/0`."""
    return _QUERY_PASSWORD.sub(rf"\1{MASK}", _URL_PASSWORD.sub(rf"\1{MASK}@", text))


def redact(mapping: Mapping[str, Any], mask: Collection[str] = (), show: Collection[str] = ()) -> dict[str, Any]:
    """A copy to be shown: secret settings and passwords in URLs masked, at any depth. Empty secrets stay visible.

    mask: keys that are masked, too, empty or not. show: keys that hold no secret, whatever they look like.
    """

    def masked(key: str, value: Any) -> bool:
        return key in mask or (is_secret(key) and key not in show and bool(value))

    def inside(value: Any) -> Any:
        if isinstance(value, str):
            return redact_text(value)
        if isinstance(value, Mapping):
            return redact(value, mask, show)
        if isinstance(value, list | tuple):
            return [inside(item) for item in value]
        return value

    return {key: MASK if masked(key, value) else inside(value) for key, value in mapping.items()}


class Settings(Mapping[str, str]):
    """A read-only mapping whose repr is redacted; `dict(settings)` has the real values."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, str]) -> None:
        self._items = dict(items)

    def __getitem__(self, key: str) -> str:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return repr(redact(self._items))
