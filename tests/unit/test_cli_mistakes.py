"""What is wrong on a command line is said before anybody waits for a broker, with exit code 2 and a way out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pipeline_files import small, write

from streambg.cli.main import main
from streambg.control import verbs
from streambg.control.sender import ControlClient
from streambg.errors import ConfigError, Refused

MISTAKES: list[tuple[list[str], str]] = [
    (["retire", "red"], "'red' is no color"),
    (["inspect", "foo"], "not a source position"),
    (["supersede", "--color", "red", "--range", "fraud-events/0@1-2"], "'red' is no color"),
    (["supersede", "--color", "blue", "--range", "x"], "--range fraud-events/3@100-200"),
    (["supersede", "--color", "blue"], "for which events?"),
    (["supersede", "--color", "blue", "--epoch", "1", "--yes"], "supersede needs a --reason"),
    (["accept-gap", "0"], "accept-gap needs a --reason"),
    (["pause", "--reason", "x" * 2_001], "--reason has 2,001 characters, the limit is 2,000"),
    (["pause", "--reason", "\udcff"], "is no UTF-8"),
    (["pause", "--expected-epoch", "-5"], "--expected-epoch"),
    (["deploy", "blue", "m:1", "--start", "0:-1"], "--start '0:-1' is no start"),
    (["deploy", "blue", "m:1", "--start", "0:1,0:2"], "--start names partition 0 twice"),
    (["deploy", "blue", "m:1", "--sample", "0"], "--sample 0 scores nothing"),
    (["deploy", "blue", "m:1", "--sample", "200%"], "--sample '200%' is no weight"),
    (["verdict", "--timeout", "foo"], "--timeout has no effect without --wait"),
    (["audit", "--fail-fast", "--interval", "3"], "--fail-fast, --interval has no effect without --follow"),
    (["status", "--interval", "3"], "--interval has no effect without --watch"),
    (["ci", "validate", "m:1", "--last", "foo"], "--last 2h"),
    (["ci", "validate", "m:1", "--junit", "."], "--junit . cannot be written: Is a directory"),
    (["replay", "--model", "m"], "m"),
    (["deploy", "blue", "nope"], "nope"),
    (["dead-letters", "export", "pipeline.yaml"], "pipeline.yaml exists"),
    (["watch-registry", "--interval", "0s"], "--interval 0s is below the least, 1s"),
    (["ci", "deploy", "m:1", "--timeout", "5m"], "--timeout has no effect without --wait"),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline whose broker nobody may ask."""
    write(tmp_path, small())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("streambg.process.logs.configure", lambda *_args, **_options: None)
    monkeypatch.setattr("streambg.topicplan.connect", lambda *_: pytest.fail("somebody waits for a broker"))
    return tmp_path


def code_of(monkeypatch: pytest.MonkeyPatch, *words: str) -> object:
    monkeypatch.setattr("sys.argv", ["streambg", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


@pytest.mark.parametrize(("words", "says"), MISTAKES, ids=lambda each: " ".join(each)[:40] if each else "")
def test_a_mistake_is_named_before_a_broker_is_waited_for(
    words: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(monkeypatch, *words) == 2
    assert says in capsys.readouterr().err


def test_who_acts_may_not_be_longer_than_the_control_log_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    from streambg.cli.common import actor  # noqa: PLC0415 # reads the environment

    monkeypatch.setenv("STREAMBG_ACTOR", "x" * 2_001)
    with pytest.raises(ConfigError, match="STREAMBG_ACTOR has 2,001 characters"):
        actor()


def test_a_job_reads_its_mistakes_where_it_reads_results(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(monkeypatch, "ci", "deploy", "m:1", "--output", "json", "-p", "nowhere.yaml") == 2
    said = json.loads(capsys.readouterr().out)
    assert (said["outcome"], said["exit_code"]) == ("refused", 2)


# -- where the first deploy begins ------------------------------------------------------------------------------------

LOGS = {0: (100, 200), 1: (0, 0), 2: (7, 300)}


def test_P11_a_start_names_every_partition_within_its_log() -> None:
    verbs._check_start("t", {0: 100, 1: 0, 2: 300}, LOGS)


@pytest.mark.parametrize(
    ("start", "says"),
    [
        ({2: 120}, r"does not say where partitions 0, 1 of t begin"),
        ({0: 100, 1: 0, 2: 7, 3: 0}, r"names partition 3, t has 0\.\.2"),
        ({0: 99, 1: 0, 2: 7}, r"--start 0:99 is outside of what t/0 holds, 100 to 200"),
        ({0: 100, 1: 1, 2: 7}, r"--start 1:1 is outside of what t/1 holds, 0 to 0"),
    ],
)
def test_P11_any_other_start_is_refused(start: dict[int, int], says: str) -> None:
    """A partition that nobody named had begun at 0: its whole history was published, for good."""
    with pytest.raises(Refused, match=says):
        verbs._check_start("t", start, LOGS)


def test_P5_what_no_reader_would_accept_is_not_sent() -> None:
    client = object.__new__(ControlClient)
    with pytest.raises(ConfigError, match="pause was not sent: reason: "):
        client.send("pause", {}, actor="a", reason="x" * 2_001, expected_epoch=0)
    with pytest.raises(ConfigError, match="deploy was not sent: "):
        client.send("deploy", {"color": "red"}, actor="a", expected_epoch=0)
