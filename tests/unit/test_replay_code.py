"""`streambg replay`: the team's own functions in the id, and what --resume refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from replays import GATE
from typer.testing import CliRunner

from streambg.cli.main import build
from streambg.errors import ConfigError, ModelError
from streambg.models.policy import Policy
from streambg.models.registry import Registry
from streambg.records.rules import Rules
from streambg.replaying.code import check_code, code_of


def test_an_edited_metric_or_decode_hook_is_another_replay_and_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    Registry.create(tmp_path / "models", Policy(python_allow=["own_kpi", "own_rows"]))
    money = replace(GATE.metrics[0], name="money", kind="own_kpi:money")
    rules = Rules(("p",), decode="own_rows:rows", gate=replace(GATE, metrics=(*GATE.metrics, money)).data())
    for name in ("own_kpi", "own_rows"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('its digest runs nothing of it')\n")
    begun_by = code_of(rules, tmp_path / "models")
    assert sorted(begun_by) == ["own_kpi:money", "own_rows:rows"]
    check_code({"streambg": "0.1.0", **begun_by}, rules, tmp_path / "models")
    for name in ("own_kpi", "own_rows"):
        before = (tmp_path / f"{name}.py").read_text()
        (tmp_path / f"{name}.py").write_text("# edited\n" + before)
        assert code_of(rules, tmp_path / "models") != begun_by
        with pytest.raises(ConfigError, match=f"the source of {name}:.* was changed since the replay began"):
            check_code(begun_by, rules, tmp_path / "models")
        (tmp_path / f"{name}.py").write_text(before)
    assert code_of(Rules(("p",), gate=GATE.data()), tmp_path / "nowhere") == {}
    with pytest.raises(ModelError, match="not on the allow-list"):
        code_of(Rules(("p",), decode="other:rows"), tmp_path / "models")
    (tmp_path / "own_rows.py").unlink()
    with pytest.raises(ModelError, match="cannot be imported"):
        code_of(rules, tmp_path / "models")


@pytest.mark.parametrize(
    "words",
    [
        ["--model", "m:1"],
        ["--against", "published"],
        ["--from", "7", "--to", "9"],
        ["--last", "1h"],
        ["--partition", "0"],
        ["--labels"],
        ["--as-if-weight", "50"],
        ["--publish-to", "t"],
        ["--rows", "rows.parquet"],
    ],
)
def test_resume_refuses_what_it_would_not_heed(words: list[str]) -> None:
    done = CliRunner().invoke(build(()), ["replay", "--resume", "abc", "--rate", "100", "--workers", "2", *words])
    assert isinstance(done.exception, ConfigError), done.output
    options = ", ".join(word for word in words if word.startswith("--"))
    assert str(done.exception).startswith(
        f"--resume goes on with what was asked for when the replay began; there is {options}, too"
    )
    assert done.exception.way_out
