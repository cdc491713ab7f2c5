"""docs/events.md is followed: its pipeline loads, its model answers, its hook decodes, its reasons are given."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from streambg.config import Pipeline, load
from streambg.models.answering import answer_rows
from streambg.models.contract import Schema, as_model
from streambg.models.decoding import Decode, decoder, json_rows
from streambg.models.features import FeatureCheck, feature_reasons

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "events.md").read_text()
EVENT = re.search(r"```json\n(.*?)\n```", PAGE, re.DOTALL)[1].encode()  # type: ignore[index] # the page has one
SHIPPED = ("pipeline", "kafka", "redis", "registry", "publish")


def example(name: str) -> str:
    found = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)\n```", PAGE, re.DOTALL)
    assert found is not None, name
    return found[1]


def loaded(folder: Path, *examples: str) -> Pipeline:
    """The shipped pipeline file with the page's sections in the place of its own, and nothing that needs labels."""
    shipped = YAML(typ="safe").load((ROOT / "pipeline.yaml").read_text())
    sections: dict[str, Any] = {name: shipped[name] for name in SHIPPED}
    for name in examples:
        sections |= YAML(typ="safe").load(example(name))
    file = folder / "pipeline.yaml"
    file.write_text(json.dumps(sections))  # which is YAML
    return load(file, {})


@pytest.fixture
def _beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "payments_in.py").write_text(example("decode"))
    monkeypatch.syspath_prepend(tmp_path)
    yield
    monkeypatch.delitem(sys.modules, "payments_in", raising=False)


def test_the_pages_pipeline_loads_and_its_model_answers_its_event(tmp_path: Path) -> None:
    pipeline = loaded(tmp_path, "sections")
    made: dict[str, Any] = {}
    exec(example("model"), made)  # the page's own code is what is looked at
    contract = pipeline.model
    schema = Schema(contract.features, contract.outputs, contract.decision.output, contract.decision.threshold)
    rows = json_rows([EVENT])
    assert pipeline.input.carry == ("payment", "country", "customer")
    assert set(pipeline.input.carry) <= set(json.loads(EVENT))
    answered = answer_rows(
        as_model(made["Payments"](), "Payments"),
        rows,
        [b"k"],
        np.zeros(1, np.int64),
        schema,
        FeatureCheck(schema.features),
    )
    assert json.loads(answered.values[0]).keys() == {"fraud", "decision"}


@pytest.mark.usefixtures("_beside")
def test_the_pages_hook_decodes_its_event(tmp_path: Path) -> None:
    pipeline = loaded(tmp_path, "sections", "decode section")
    decode = decoder(pipeline.input.decode, ["payments_in"])
    (row,), (without,) = decode([EVENT]), decode([b'{"amount": 1}'])
    assert isinstance(row, dict)
    assert (row["device_age"], row["country"], "device" in row) == (3, "DE", False)
    assert without == {"amount": 1, "device_age": -1, "country": ""}


@pytest.mark.usefixtures("_beside")
def test_every_reason_on_the_page_is_what_such_an_event_gets() -> None:
    table = PAGE.partition("<!-- reasons -->")[2].partition("\n\n`")[0]
    said = re.findall(r"\| `([^`]+)`", table)
    features = {"amount": "number"}

    def reason(value: bytes | None, decode: Decode = json_rows) -> str:
        (why,) = feature_reasons(decode([value]), features)
        assert why is not None
        return why

    given = [
        reason(None),
        reason(b"{"),
        reason(b"[]"),
        reason(b"{}"),
        reason(b'{"amount": "1"}'),
        reason(b'{"amount": null}'),
        reason(b'{"amount": 1' + b"0" * 400 + b"}"),
        reason(b"{", decoder("payments_in:payment", ["payments_in"])),
    ]
    assert len(said) == len(given)
    assert all(why.startswith(words) for words, why in zip(said, given, strict=True)), (said, given)
