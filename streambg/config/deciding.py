"""The sections that decide about a candidate: labels, metrics and the rollout, as a person writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from streambg.config.base import Name, Section, TopicName
from streambg.config.redaction import redact_text
from streambg.config.values import Millis, Number, Percent, Weight, Whole, said
from streambg.rollout.plan import Hours

# Each metric is counted for every pair of answers (0.1-0.3 us) and told in every verdict.
MAX_METRICS = 32
# Each value has its own counts for each metric that names its field; a snapshot holds them all (P30).
MAX_SEGMENT_FIELDS, MAX_SEGMENT_VALUES = 4, 100
# A plan that people can oversee; each step waits for its own events.
MAX_STEPS = 20
# A label that is later than this is an event of another world; Redis holds what waits (some 100 bytes each).
MAX_HORIZON_MS = 90 * 86_400_000

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"(\w{3})(?:-(\w{3}))? (\d\d):(\d\d)-(\d\d):(\d\d) (\S+)")
HOOK = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"


def parse_hours(value: object) -> Hours:
    """`mon-fri 09:00-17:00 Europe/Berlin`. Raises ValueError with what is wrong."""
    match = _HOURS.fullmatch(value.strip().replace("  ", " ")) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{said(value)} are no hours; write days, hours and a zone: mon-fri 09:00-17:00 Europe/Berlin")
    first, last, *clock, zone = match.groups()
    if first not in _DAYS or (last or first) not in _DAYS:
        raise ValueError(f"{value!r} names no days of {', '.join(_DAYS)}")
    start, count = _DAYS.index(first), (_DAYS.index(last or first) - _DAYS.index(first)) % 7 + 1
    opens, closes = (60 * int(hour) + int(minute) for hour, minute in (clock[:2], clock[2:]))
    if not opens < closes <= 24 * 60 or any(int(minute) > 59 for minute in clock[1::2]):
        raise ValueError(f"{value!r} do not begin before they end, within 00:00-24:00")
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{zone!r} is no time zone that this machine knows; write UTC or Europe/Berlin") from None
    return Hours(tuple(sorted((start + day) % 7 for day in range(count))), opens, closes, zone)


def _public_address(value: str) -> str:
    if not re.fullmatch(r"https?://\S{1,500}", value):
        raise ValueError(f"{redact_text(value)!r} is no address; write http://host:port/path")
    if redact_text(value) != value:
        raise ValueError("the plan stands in the control log for ever: an address with a password must not be in it")
    return value


def _all_or_names(value: object) -> object:
    """None: all that decide."""
    return None if value == "all" else value


def _texts(value: object) -> object:
    """Declared values as events carry them: text, numbers and booleans, compared as text."""
    return [_text_of(item) for item in value] if isinstance(value, list) else value


def _text_of(item: object) -> object:
    if isinstance(item, bool):
        return str(item).lower()
    return str(item) if isinstance(item, int | float) else item


class Labels(Section):
    """What really happened, arriving later: JSON in a topic of the user's."""

    topic: TopicName
    key: Name
    value: Name
    horizon_ms: Millis = Field(alias="horizon", ge=1, le=MAX_HORIZON_MS)
    sample: Percent = Field(default=1.0, gt=0)
    depends_on_answer: bool = False


Values = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=256)], ...],
    BeforeValidator(_texts),
    Field(min_length=1, max_length=MAX_SEGMENT_VALUES),
]


class MetricSection(Section):
    """One metric; what its kind needs beside that is checked in decidingchecks.py."""

    kind: Annotated[str, Field(max_length=200)]
    role: Literal["goal", "guardrail", "diagnostic"]
    margin: Percent | None = None
    abort_margin: Percent | None = None
    floor: Percent = 0.0
    better: Literal["higher", "lower"] | None = None
    reach: tuple[Number, Number] | None = Field(default=None, alias="range")
    limit_ms: Millis | None = Field(default=None, alias="limit")
    labels: bool | None = None
    segments: tuple[Name, ...] = ()
    segment_margin: Percent | None = None

    @property
    def hook(self) -> bool:
        """Is it the team's own function?"""
        return re.fullmatch(HOOK, self.kind) is not None


class AA(Section):
    """A candidate is held against how much live differs from itself, seen on so many events."""

    events: Whole = Field(default=3_000, ge=1)


class Alpha(Section):
    promote: Percent = Field(default=0.05, gt=0, le=0.5)
    abort: Percent = Field(default=0.01, gt=0, le=0.5)


class CoverageLimits(Section):
    rows: Percent = 0.999
    labels: Percent = 0.95


class StepSection(Section):
    """One step: `promote`, or a weight and what must be true before the next one."""

    promote: bool = False
    weight: Weight | None = None
    events: Whole = Field(default=0, ge=0)
    at_least_ms: Millis = Field(default=0, alias="at_least")
    within_ms: Millis | None = Field(default=None, alias="within", ge=1)
    gates: Annotated[tuple[Name, ...] | None, BeforeValidator(_all_or_names)] = None
    approval: bool = False
    hours: Annotated[Hours | None, BeforeValidator(parse_hours)] = None
    check: Annotated[str, AfterValidator(_public_address)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        if value == "promote":
            return {"promote": True}
        if not isinstance(value, Mapping):
            raise ValueError(f"{said(value)} is no step: a mapping with a `weight`, or the word promote")
        return value


class AfterPromotion(Section):
    watch_ms: Millis = Field(default=3_600_000, alias="watch")
    keep_warm_ms: Millis = Field(default=86_400_000, alias="keep_warm")


class Rollout(Section):
    max_lag_ms: Millis = Field(default=5_000, alias="max_lag", ge=1)
    alpha: Alpha = Field(default_factory=Alpha)
    coverage: CoverageLimits = Field(default_factory=CoverageLimits)
    max_events: Whole | None = Field(default=None, ge=1)
    steps: tuple[StepSection, ...] = Field(default=(), max_length=MAX_STEPS)
    on_abort: Literal["shadow", "retire"] = "shadow"
    on_inconclusive: Literal["hold", "abort"] = "hold"
    after_promotion: AfterPromotion = Field(default_factory=AfterPromotion)


Metrics = Annotated[dict[Name, MetricSection], Field(max_length=MAX_METRICS)]
Segments = Annotated[dict[Name, Values], Field(max_length=MAX_SEGMENT_FIELDS)]
