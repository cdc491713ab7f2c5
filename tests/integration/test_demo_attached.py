"""`streambg demo --attach`: the demo on servers and processes that run already, as in docker-compose.yml."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkout import Verb, checkout, renamed
from pipelines import pipeline

from streambg.demo.attached import require_empty
from streambg.errors import ConfigError
from streambg.servers.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def test_the_demo_plays_on_running_processes_and_leaves_them_alone(
    kafka: str, redis_url: str, unique: str, tmp_path: Path
) -> None:
    folder = renamed(tmp_path, unique)
    attach = ("demo", "--attach", "--events", "2000", "--rate", "1000", "--output", "json")

    def verb(*words: str, merged: bool = False) -> Verb:
        return Verb(folder, *words, merged=merged, STREAMBG_BOOTSTRAP=kafka, STREAMBG_REDIS=redis_url)

    assert verb("topics", "apply", "--partitions", "2", "--yes").end() == 0
    up = verb("up", "--metrics-port", str(free_port()), merged=True)
    try:
        up.says("comparator   | started as pid")
        demo = verb(*attach)
        code = demo.end(200)
        assert code == 0, "\n".join([*demo.said, *up.said])
        result = demo.json()
        again = verb(*attach)
        assert again.end() == 2
        assert any("the control log of" in line and "is not empty" in line for line in again.said), again.said
        assert up.process.poll() is None
    finally:
        up.close()
    assert (result["ok"], result["audit"]["verdict"], result["audit"]["events"]) == (True, "ok", 2_000)
    assert result["partitions"] == 2
    steps = [step["step"] for step in result["steps"]]
    assert steps == ["deploy blue", "deploy green", "shift 10 %", "shift 50 %", "promote", "rollback", "promote"]
    assert result["restarts"] == result["cpu_seconds"] == {}
    assert not (folder / ".streambg" / "demo").exists()


def test_a_pipeline_with_events_is_not_mixed_with_made_up_ones(kafka: str, unique: str, tmp_path: Path) -> None:
    with pipeline(tmp_path, kafka, unique, partitions=2) as run:
        assert require_empty(run.pipeline) == 2
        run.feed(1)
        with pytest.raises(ConfigError, match=f"the topic {unique}-events at .* is not empty") as caught:
            require_empty(run.pipeline)
        assert "docker compose down --volumes" in caught.value.way_out


@pytest.mark.parametrize("words", [["--keep"], ["--partitions", "3"], ["--servers", "local"]], ids=" ".join)
def test_what_is_said_about_servers_is_refused(words: list[str], tmp_path: Path) -> None:
    verb = Verb(checkout(tmp_path), "demo", "--attach", *words)
    assert verb.end() == 2
    assert any("--attach starts no servers" in line for line in verb.said), verb.said
