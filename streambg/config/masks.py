"""What a report may show of events: `replay:` in the pipeline file, and what looks like a secret. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from streambg.config.redaction import MASK, redact, redact_text


@dataclass(frozen=True, slots=True)
class Masks:
    """mask: fields that are masked beside those whose names look like secrets. show: fields that only look like it.

    key, values: is the record's key masked, and what was published?
    """

    mask: tuple[str, ...] = ()
    show: tuple[str, ...] = ()
    key: bool = False
    values: bool = False

    @property
    def words(self) -> str:
        """The same masks give the same words; empty where the file declares none."""
        fields = ("mask", self.mask), ("show", self.show)
        parts = [f"{verb} {', '.join(sorted(names))}" for verb, names in fields if names]
        parts += [f"mask the {what}" for what, masked in (("key", self.key), ("values", self.values)) if masked]
        return "; ".join(parts)

    def fields(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The event, masked at any depth."""
        return redact(event, self.mask, self.show)

    def key_of(self, key: bytes, event: Mapping[str, Any] | None) -> str:
        """event: whole, None where nobody knows it. A key that is a masked field's value is masked with it."""
        text = key.decode("utf-8", "replace")
        if self.key or (event is None and self.mask):
            return MASK
        shown = self.fields(event or {})
        hidden = {str(value) for name, value in (event or {}).items() if shown[name] == MASK}
        return MASK if text in hidden else redact_text(text)

    def value_of(self, value: bytes) -> str:
        """An answer as it was published: by name where it is JSON, as it stands where it is not."""
        if self.values:
            return MASK
        try:
            found = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return redact_text(value.decode("utf-8", "replace"))
        shown = redact({"": found}, self.mask, self.show)[""]
        return (value if shown == found else msgspec.json.encode(shown)).decode("utf-8", "replace")


SECRETS_ONLY = Masks()
