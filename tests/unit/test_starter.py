"""`streambg init`: the reference pipeline's own files under another name, and nothing overwritten."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from streambg import topicplan
from streambg.cli import init as cli
from streambg.config import load
from streambg.errors import ConfigError
from streambg.models.policy import Policy
from streambg.models.registry import Registry
from streambg.running.plan import require_consumers
from streambg.starter.rendering import image_name, render
from streambg.starter.writing import checkout, init, sources

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["fraud", "123", "true", "null", "1e3", "Fraud_2-", "a" * 100])
def test_a_new_pipeline_is_one_by_its_own_name(name: str, tmp_path: Path) -> None:
    init(name, tmp_path)
    pipeline = load(tmp_path / "pipeline.yaml", {})
    assert (pipeline.name, pipeline.topics.input, pipeline.topics.output) == (name, f"{name}-events", f"{name}-answers")
    assert {each.name for each in topicplan.load_topics(pipeline)} >= {f"{name}.control", f"{name}-answers"}
    assert Registry(pipeline.registry).policy() == Policy(python_allow=["mymodel"], keep_source=True)
    require_consumers(pipeline.file)
    compose = YAML(typ="safe").load((tmp_path / "docker-compose.yml").read_text())
    assert compose["name"] == image_name(name)
    assert {
        one["image"] for one in compose["services"].values() if "STREAMBG_BOOTSTRAP" in one.get("environment", {})
    } == {f"{image_name(name)}:local"}


@pytest.mark.parametrize(
    ("name", "image"), [("fraud", "fraud"), ("Fraud_2-", "fraud-2"), ("a___b", "a-b"), ("A-" * 50, "-".join("a" * 50))]
)
def test_docker_takes_the_name_as_an_images(name: str, image: str) -> None:
    assert image_name(name) == image


@pytest.mark.parametrize("name", ["", "-a", "a.b", "a b", "a/b", "../a", "a\n", "é", "a" * 101, "@IMAGE@"])
def test_a_name_that_the_pipeline_file_would_refuse_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no name of a pipeline"):
        init(name, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_files_are_those_that_this_repository_runs(tmp_path: Path) -> None:
    files = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in init("fraud", tmp_path)}
    for folder in ("topics", "consumers"):
        for path in (ROOT / folder).glob("*.[py]*"):
            assert files[f"{folder}/{path.name}"] == path.read_text()
    changed = {
        name: sum(a != b for a, b in zip((ROOT / name).read_text().splitlines(), files[name].splitlines(), strict=True))
        for name in ("pipeline.yaml", "docker-compose.yml")
    }
    assert changed == {"pipeline.yaml": 6, "docker-compose.yml": 4}
    assert not [name for name, text in files.items() if "shuttle" in text or "sensor" in text or "@PIPELINE@" in text]
    assert ".gitignore" in files
    assert "gitignore" not in files


def test_what_the_image_copies_is_written_and_let_through(tmp_path: Path) -> None:
    init("fraud", tmp_path)
    rules = (tmp_path / ".dockerignore").read_text().splitlines()
    let_through = {rule[1:] for rule in rules if rule.startswith("!")}
    lines = [line.split() for line in (tmp_path / "Dockerfile").read_text().splitlines() if line.startswith("COPY")]
    copied = {word for _, *words in lines for word in words[:-1] if not word.startswith("--")}
    assert copied == let_through
    assert all((tmp_path / name).exists() for name in copied)


def test_nothing_is_overwritten_and_all_that_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "topics").mkdir()
    (tmp_path / "topics" / "input.yaml").write_text("mine")
    (tmp_path / "Makefile").symlink_to("nowhere")
    with pytest.raises(ConfigError, match=r"already holds topics/input\.yaml, Makefile; nothing is ever overwritten"):
        init("fraud", tmp_path)
    assert (tmp_path / "topics" / "input.yaml").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["Makefile", "input.yaml", "topics"]


def dry_run(folder: Path, *words: str) -> str:
    """What make would do."""
    make = ["make", "--no-print-directory", "-n", ".venv/.ready", *words]
    return subprocess.run(make, cwd=folder, capture_output=True, text=True, check=True, timeout=30).stdout


def test_a_checkout_installs_itself_into_the_new_pipeline_while_it_is_there(tmp_path: Path) -> None:
    """As README writes it: `make test`, without naming it."""
    where = checkout()
    assert where is not None, "the tests run in an editable install"
    assert Path(where) == ROOT
    init("fraud", tmp_path)
    assert f'-m pip install -q --disable-pip-version-check "{ROOT}[local]"' in dry_run(tmp_path)
    assert '"other[local]"' in dry_run(tmp_path, "STREAMBG_SOURCE=other")
    (tmp_path / "Makefile").write_text((tmp_path / "Makefile").read_text().replace(str(ROOT), str(tmp_path / "gone")))
    assert "from the package index" in dry_run(tmp_path)
    assert "[local]" not in dry_run(tmp_path)


def test_a_path_that_make_would_split_is_not_written() -> None:
    assert "wildcard" not in render("fraud", "1.0", sources(), "/a b")["Makefile"]
    assert "wildcard" not in render("fraud", "1.0", sources())["Makefile"]


def test_a_pip_that_fails_names_the_way_out(tmp_path: Path) -> None:
    init("fraud", tmp_path)
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nmkdir -p .venv/bin; ln -s "$(command -v false)" .venv/bin/python\n')
    python.chmod(0o755)
    make = ["make", "test", f"PYTHON={python}"]
    done = subprocess.run(make, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode != 0
    assert "make test STREAMBG_SOURCE=/path/to/checkout" in done.stderr
    assert not (tmp_path / ".venv" / ".ready").exists()


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "topics").write_text("a file where a folder must be")
    with pytest.raises(ConfigError, match="topics"):
        init("fraud", tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["topics"]


def test_a_reference_file_that_was_changed_is_not_half_renamed() -> None:
    files = sources()
    with pytest.raises(ConfigError, match=r"pipeline\.yaml of the template holds .*shuttle.* 0 times instead of once"):
        render("fraud", "1.0", {**files, "pipeline.yaml": files["pipeline.yaml"].replace("shuttle", "shuffle")})


def test_the_command_says_what_it_wrote_and_what_comes_next(tmp_path: Path) -> None:
    said = CliRunner().invoke(cli.app, ["fraud", "--dir", str(tmp_path / "x y")])
    assert said.exit_code == 0
    assert f"wrote {tmp_path / 'x y' / 'pipeline.yaml'}" in said.stdout
    assert f"cd '{tmp_path / 'x y'}'" in said.stdout
    assert "make test" in said.stdout


def test_the_command_lists_the_files_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(cli.app, ["fraud", "--output", "json"])
    data = YAML(typ="safe").load(said.stdout)
    assert (data["pipeline"], data["directory"]) == ("fraud", "fraud")
    written = {
        path.relative_to(tmp_path / "fraud").as_posix() for path in (tmp_path / "fraud").rglob("*") if path.is_file()
    }
    assert sorted(data["files"]) == sorted(written)
