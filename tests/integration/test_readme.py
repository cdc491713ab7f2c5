"""The README's commands, run as they stand, in a copy of the checkout; `make` itself is what runs this test."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from endings import at_last, servers_end

from streambg.servers.cache import cache_dir

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent.parent
FENCE = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COPIED = ("streambg", "consumers", "topics", "pipeline.yaml")


def own_cache(folder: Path) -> Path:
    """The jars and the template of the real cache, but a place of its own for the servers that `broker start` makes."""
    cache = folder / "cache"
    cache.mkdir()
    for entry in cache_dir().iterdir():
        if entry.name != "detached":
            (cache / entry.name).symlink_to(entry)
    return cache


@pytest.mark.timeout(450)
def test_the_readmes_commands_end_with_the_readers_own_model_live(kafka: str, tmp_path: Path) -> None:
    """`kafka` is asked for only so that the cache is filled by then."""
    blocks = [block for block in FENCE.findall((ROOT / "README.md").read_text()) if not block.startswith("make ")]
    assert "broker stop" in blocks[-1], "what is said behind it needs what it removes"
    script = "\n".join([*blocks[:-1], "streambg status --output json > status.json", blocks[-1]])
    assert script.count("streambg ") > 10
    checkout = tmp_path / "checkout"
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, checkout / name)
    (checkout / "readme.sh").write_text(script)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    cache = own_cache(tmp_path)
    environment = {**os.environ, "PATH": path, "STREAMBG_CACHE": str(cache), "COLUMNS": "200"}
    with servers_end(cache / "detached", tmp_path / "stop.log"):
        process = subprocess.Popen(
            ["bash", "-eu", "readme.sh"],
            cwd=checkout,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        with at_last(tmp_path / "kill.log", "bash", "-c", f"kill -9 -- -{process.pid}"):  # what it left running
            output, _ = process.communicate(timeout=360)
    assert process.returncode == 0, output
    for words in ("promote accepted", "rollback accepted", "linear:1", "learnt:1", "report-timed.html"):
        assert words in output
    status = json.loads((checkout / "status.json").read_text())
    assert (status["live"], status["colors"]["green"]["model"]) == ("green", "learnt:1")
    assert not (checkout / "mymodel.py").exists(), "the last step cleans up"
