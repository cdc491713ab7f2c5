"""docs/pipeline-file.md has every key of a pipeline file, with its default and its limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import annotated_types
import pytest
from pydantic.fields import FieldInfo

from streambg.config import deciding, sections
from streambg.config.base import Section
from streambg.config.values import parse_percent, show_duration
from streambg.records.gate import KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "pipeline-file.md").read_text()
ROWS = {
    key: (default, text) for key, default, text in re.findall(r"^\| `([^`]+)` \| (.+?) \| (.+) \|$", PAGE, re.MULTILINE)
}
# Said in words: they follow from another key.
BY_WORDS = {
    "metrics.NAME.abort_margin": "half of `margin`",
    "metrics.NAME.segment_margin": "`margin`",
    "metrics.NAME.range": "the kind's",
    "metrics.NAME.better": "the kind's",
    "metrics.NAME.labels": "the kind's",
    "rollout.steps[].weight": "required",
    "rollout.steps[].gates": "`all`",
    "rollout.steps[].at_least": "none",
    "input.forward_headers": "`traceparent`",
}


def _section(annotation: Any) -> type[Section] | None:
    """The section within `Section | None`, `dict[str, Section]`, `tuple[Section, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for each in get_args(annotation) if (found := _section(each))), None)


def _fields(section: type[Section], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in section.model_fields.items():
        key = prefix + (field.alias or name)
        inner = _section(field.annotation)
        if inner is None:
            yield key, field
        if inner is deciding.StepSection:
            yield key, field
        if inner is not None:
            between = {deciding.MetricSection: ".NAME.", deciding.StepSection: "[]."}.get(inner, ".")
            yield from _fields(inner, key + between)


FIELDS = dict(_fields(sections.Pipeline))


def _written(value: object, field: FieldInfo, key: str) -> str:
    """As a person writes it into the file."""
    percent = parse_percent.__qualname__ in repr((field.annotation, field.metadata))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float) and percent:
        return f"{100 * value:g}%"
    if isinstance(value, int) and "parse_duration" in repr((field.annotation, field.metadata)):
        return show_duration(value)
    if isinstance(value, int) and "parse_wait" in repr((field.annotation, field.metadata)):
        return show_duration(value)
    return "wait" if value is None and key == "publish.late.live" else str(value)


def test_every_key_stands_there_and_no_other() -> None:
    documented = {key for key in ROWS if key.split(".")[0] in sections.Pipeline.model_fields or key == "pipeline"}
    assert documented == set(FIELDS)


@pytest.mark.parametrize("key", FIELDS)
def test_the_default_is_the_codes(key: str) -> None:
    field, said = FIELDS[key], ROWS[key][0]
    if key in BY_WORDS:
        assert said == BY_WORDS[key]
    elif field.is_required():
        assert said == "required"
    else:
        default = field.get_default(call_default_factory=True, validated_data={})
        nothing = default is None and key != "publish.late.live"
        assert said == ("none" if nothing or default in ((), {}) else f"`{_written(default, field, key)}`")


@pytest.mark.parametrize("key", FIELDS)
def test_the_limits_are_the_codes(key: str) -> None:
    field, (_, text) = FIELDS[key], ROWS[key]
    for limit in field.metadata:
        match limit:
            case annotated_types.Ge(bound) | annotated_types.Gt(bound) | annotated_types.Le(bound):
                assert isinstance(bound, int | float)
                assert _written(bound, field, key) in text.replace(",", "")
            case annotated_types.MaxLen(most):
                assert str(most) in text


def test_the_kinds_of_metrics_are_the_codes() -> None:
    table = PAGE.partition("| kind |")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", table, re.MULTILINE))
    assert set(rows) == set(KINDS)
    for name, kind in KINDS.items():
        assert (rows[name].split(" | ")[1] == "yes") == kind.needs_label, name
        assert ("declared" in rows[name]) == (kind.high is None), name
    assert f"A pipeline has {deciding.MAX_METRICS} metrics at most" in PAGE
    assert f"{deciding.MAX_SEGMENT_FIELDS} fields and {deciding.MAX_SEGMENT_VALUES} values" in ROWS["segments"][1]
