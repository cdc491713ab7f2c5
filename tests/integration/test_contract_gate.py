"""The contract gate on a real broker: what `deploy` refuses, what it lets pass, and what then stands in the log."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from pipelines import Running, pipeline
from typer.testing import CliRunner, Result

from streambg.cli.main import build
from streambg.config import load
from streambg.control.contract import contract
from streambg.errors import ContractChanged, ModelError

pytestmark = pytest.mark.integration


def deploy(run: Running, *words: str) -> Result:
    return CliRunner().invoke(build(()), ["deploy", *words, "--output", "json", "-p", str(run.pipeline.file)])


def accepted(result: Result) -> Any:
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


def refused(result: Result) -> Any:
    """What JSON says; the words for people are in the error, which the entry point prints."""
    assert isinstance(result.exception, ContractChanged), (result.output, result.exception)
    assert result.exception.exit_code == 14
    assert "--accept-contract-change" in result.exception.way_out
    said = json.loads(result.stdout)
    assert said["accepted"] is False
    return said["contract"]


def history(run: Running) -> Any:
    done = CliRunner().invoke(build(()), ["history", "--output", "json", "-p", str(run.pipeline.file)])
    assert done.exit_code == 0
    return json.loads(done.stdout)


def groups(run: Running) -> set[str]:
    return {group.group_id for group in run.admin.list_consumer_groups().result(10).valid}


def test_P5_a_candidate_that_answers_otherwise_is_refused_or_recorded(kafka: str, unique: str, tmp_path: Path) -> None:
    with pipeline(tmp_path, kafka, unique) as run:
        run.model("percent", scale=100.0)
        run.model("silent", fails_from=0)
        run.model("lots", noise=0.1)
        empty = accepted(deploy(run, "blue", "m:1", "--start", "earliest"))["contract"]
        assert empty["notes"] == ["the input holds no events: only what is declared was compared"]
        run.feed(300)
        run.flush()
        before, file = groups(run), run.pipeline.file

        held = accepted(deploy(run, "green", "m:2"))["contract"]
        assert (held["found"], held["events"], held["compared"], held["live"]) == ([], 300, 300, "m:1")
        assert groups(run) == before, "nobody reads with a group"

        (percent,) = refused(deploy(run, "green", "m:percent"))["found"]
        assert percent["about"] == "range"
        (silent,) = refused(deploy(run, "green", "m:silent"))["found"]
        assert silent["what"].startswith("none to 300 of 300 events that live answered: model answered NaN for p")
        (lots,) = refused(deploy(run, "green", "m:lots"))["found"]
        assert lots["about"] == "steady"
        assert lots["what"].startswith("100 of 100 events get another answer alone than in batches of 7")
        assert len(history(run)) == 2, "a refusal is decided before anything is sent"

        found = accepted(deploy(run, "green", "m:percent", "--accept-contract-change"))
        last = history(run)[-1]
        assert last["args"]["contract_change"] == [f"range: {percent['what']}"]
        assert last["command"].endswith("contract_change=1")
        assert found["epoch"] == last["offset"]
        plain = CliRunner().invoke(build(()), ["deploy", "green", "m:2", "--accept-contract-change", "-p", str(file)])
        assert "the contract holds on 300 events" in plain.output, (plain.output, plain.exception)
        assert "contract_change" not in history(run)[-1]["args"], "nothing changed, so nothing needs new readers"

        # the way out of lost predictions is not in the gate's way: live's own digest, whatever it answers
        shutil.rmtree(run.pipeline.registry / "m" / "2")
        assert accepted(deploy(run, "blue", "m:1", "--rescore"))["contract"] is None
        with pytest.raises(ModelError, match="m:2 is not in the registry"):
            contract(run.pipeline, "m:2")
        shutil.rmtree(run.pipeline.registry / "m" / "1")
        (blind,) = contract(run.pipeline, "m:percent").found
        assert blind.about == "live", "what cannot be compared does not pass"


def test_a_first_deploy_of_a_model_without_its_features_is_refused(kafka: str, unique: str, tmp_path: Path) -> None:
    with pipeline(tmp_path, kafka, unique) as run:
        run.feed(50)
        run.flush()
        file = run.pipeline.file
        file.write_text(file.read_text().replace("features: {f1: number,", "features: {age: number, f1: number,"))
        renamed = Running(tmp_path, load(file, os.environ), run.partitions)
        ref = renamed.model("renamed")
        found = contract(renamed.pipeline, ref)
        assert [str(each) for each in found.found] == ["features: missing feature age in all 50 events"]
        with pytest.raises(ContractChanged, match="1 mismatch on 50 events, 0 are allowed"):
            found.or_raise()
        assert found.epoch == -1
