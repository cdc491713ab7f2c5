"""`streambg` in a shell: TAB, pipes and files, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

import pytest
from model_versions import new, river_pickle
from waiting import until

from streambg.cli import common, replay, start
from streambg.cli.tab import bash_completion, join_colons, words_before
from streambg.models.policy import Policy
from streambg.models.registry import Registry
from streambg.process import ending
from streambg.process.ctrl_c import ctrl_c_waits
from streambg.process.ending import until_ctrl_c
from streambg.replaying.run import Progress
from streambg.running.stopping import Stopping

PIPELINE = """
pipeline: shuttle
kafka: {{bootstrap: "{bootstrap}", client: {{}}}}
redis: redis://127.0.0.1:6379/0
input: {{topic: sensors, format: json}}
output: {{topic: alerts}}
model:
  features: {{x: number, y: number}}
  outputs: [anomaly]
  decision: {{output: anomaly, threshold: 0.5}}
"""


def streambg_in(folder: Path) -> dict[str, str]:
    """An environment in which `streambg` is this checkout's, told to no terminal."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE.format(bootstrap="127.0.0.1:9092"))
    registry = Registry.create(tmp_path / "models", Policy(allow_pickle=True))
    for ref in ("fraud:7", "fraud:8", "other:1"):
        registry.add(new(ref, artifact=river_pickle(), artifact_name="m.pkl"))
    return tmp_path


# --- TAB


@pytest.mark.parametrize(
    ("words", "at", "joined", "spot", "before"),
    [
        (["streambg", "dep"], 1, ["streambg", "dep"], 1, ""),
        (["streambg", "show", ""], 2, ["streambg", "show", ""], 2, ""),
        (["streambg", "show", "fraud", ":"], 3, ["streambg", "show", "fraud:"], 2, "fraud:"),
        (["streambg", "show", "fraud", ":", "8"], 4, ["streambg", "show", "fraud:8"], 2, "fraud:"),
        (
            ["streambg", "diff", "fraud", ":", "7", "fraud", ":", "8"],
            7,
            ["streambg", "diff", "fraud:7", "fraud:8"],
            3,
            "fraud:",
        ),
        (["streambg", "diff", "fraud", ":", "7", ""], 5, ["streambg", "diff", "fraud:7", ""], 3, ""),
        (["streambg", "diff", "fr", "fraud", ":", "8"], 2, ["streambg", "diff", "fr", "fraud:8"], 2, ""),
    ],
)
def test_words_that_bash_cut_at_a_colon_are_whole_again(
    words: list[str], at: int, joined: list[str], spot: int, before: str
) -> None:
    assert join_colons(words, at) == (joined, spot, before)


@pytest.mark.parametrize(
    ("environment", "before"),
    [
        ({"_STREAMBG_COMPLETE": "complete_bash", "COMP_WORDS": "streambg\nmod", "COMP_CWORD": "1"}, []),
        ({"_STREAMBG_COMPLETE": "complete_bash", "COMP_WORDS": "streambg\ndeploy\n", "COMP_CWORD": "2"}, ["deploy"]),
        ({"_STREAMBG_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "streambg deploy"}, []),
        ({"_STREAMBG_COMPLETE": "complete_fish", "_TYPER_COMPLETE_ARGS": "streambg deploy "}, ["deploy"]),
        ({"_STREAMBG_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "streambg deploy 'bl"}, []),
    ],
)
def test_the_words_before_the_one_that_is_typed(environment: dict[str, str], before: list[str]) -> None:
    assert list(words_before(environment)) == before


def test_answers_lack_what_bash_has_already(capsys: pytest.CaptureFixture[str]) -> None:
    environment = {"_STREAMBG_COMPLETE": "complete_bash", "COMP_WORDS": "streambg\nshow\nfraud\n:", "COMP_CWORD": "3"}
    with bash_completion(environment):
        sys.stdout.write("fraud:7\nfraud:8\n")
    assert capsys.readouterr().out == "7\n8\n"
    assert (environment["COMP_WORDS"], environment["COMP_CWORD"]) == ("streambg\nshow\nfraud:", "2")
    with bash_completion({}):
        sys.stdout.write("fraud:7\n")
    assert capsys.readouterr().out == "fraud:7\n"


def test_bash_completes_verbs_colors_and_versions(folder: Path) -> None:
    """With the script that `--show-completion` prints, in a bash that splits words as it does."""
    script = """
    source <(streambg --show-completion)
    ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _streambg_completion streambg; echo "${COMPREPLY[*]}"; }
    ask streambg pro
    ask streambg deploy ''
    ask streambg models diff fraud : 7 fraud : ''
    ask streambg status --output ''
    ask streambg history --verb pau
    ask streambg doctor --check tr
    ask streambg topics acls --role s
    ask streambg replay --against gr
    ask streambg replay --against fraud : ''
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        cwd=folder,
        env=streambg_in(folder),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "promote",
        "blue green",
        "7 8",
        "text json",
        "pause",
        "transactions",
        "scorer.blue scorer.green",
        "green",
        "7 8",
    ], done.stderr
    assert done.stderr == ""


def test_completion_is_installed_where_bash_reads_it(folder: Path) -> None:
    done = subprocess.run(
        ["bash", "--norc", "-c", "streambg --install-completion; true"],
        cwd=folder,
        env=streambg_in(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "completion installed" in done.stdout, done.stderr
    assert "_streambg_completion" in (folder / ".bash_completions" / "streambg.sh").read_text()


# --- pipes and files


def asked(folder: Path, line: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A line of a shell that knows no width."""
    environment = {name: text for name, text in streambg_in(folder).items() if name != "COLUMNS"}
    return subprocess.run(
        ["bash", "--norc", "-o", "pipefail", "-c", line],
        cwd=folder,
        env={**environment, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_pipe_gets_whole_lines_without_blanks_behind_them(folder: Path) -> None:
    long = f"fraud-with-{'a-very-' * 10}long-name:1"
    Registry(folder / "models").add(new(long, artifact=river_pickle(), artifact_name="m.pkl"))
    listed = asked(folder, "streambg models list").stdout.splitlines()
    [line] = [line for line in listed if line.startswith(long)]
    assert "anomaly" in line, "one line a version, whatever its length"
    assert [line for line in listed if line != line.rstrip()] == []
    wrapped = asked(folder, "streambg models list", COLUMNS="80").stdout
    assert max(map(len, wrapped.splitlines())) == 80, "who says a width gets it"


@pytest.mark.parametrize("words", ["models list", "models list --output json", "--version"])
def test_a_full_disk_behind_the_output_is_one_clear_line(folder: Path, words: str) -> None:
    """Also where the failure comes with the last flush only."""
    done = asked(folder, f"streambg {words} > /dev/full")
    assert (done.returncode, done.stderr.splitlines()) == (
        1,
        [
            "StreambgError: cannot write the output: No space left on device",
            "way out: free room where it goes to, then ask again",
        ],
    )


def test_a_reader_who_is_gone_ends_it_in_silence(folder: Path) -> None:
    done = asked(folder, "streambg models list --output json | true")
    assert (done.returncode, done.stderr) in ((0, ""), (1, "")), "0 where it was written before the reader went"


def test_a_bar_that_nobody_sees_leaves_nothing_behind(capsys: pytest.CaptureFixture[str]) -> None:
    with common.counted("events") as show:
        show(1, 2)
    with replay._bars() as told:
        told(Progress("id", 1, 2))
    assert capsys.readouterr() == ("", "")


# --- Ctrl-C


@contextmanager
def silent_server() -> Iterator[tuple[str, socket.socket]]:
    """A server that takes connections and says nothing: its address, and a socket that is readable once one came."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield f"127.0.0.1:{server.getsockname()[1]}", server


@pytest.mark.parametrize("words", [["status"], ["audit"]])
def test_ctrl_c_ends_a_verb_that_waits_with_130_and_no_traceback(folder: Path, words: list[str]) -> None:
    with silent_server() as (address, server):
        (folder / "pipeline.yaml").write_text(PIPELINE.format(bootstrap=address))
        verb = subprocess.Popen(
            [sys.executable, "-m", "streambg", *words],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            with server.accept()[0]:
                verb.send_signal(signal.SIGINT)
                out, err = verb.communicate(timeout=60)
        finally:
            verb.kill()
    assert verb.returncode == 130, err
    assert (out, err.strip()) == ("", "")


def test_ctrl_c_while_the_verbs_are_loaded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Interrupted(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "streambg.cli.main", Interrupted("streambg.cli.main"))
    with pytest.raises(SystemExit) as ended:
        start.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == ""


DROPS_IT = """
import signal, sys, types
class Loading(types.ModuleType):
    def __getattr__(self, name):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            pass
        return lambda: print("went on")
sys.modules["streambg.cli.main"] = Loading("streambg.cli.main")
from streambg.cli import start
start.main()
"""


def test_ctrl_c_while_the_verbs_are_loaded_is_dropped_by_nobody() -> None:
    done = subprocess.run([sys.executable, "-c", DROPS_IT], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def verbs_that(monkeypatch: pytest.MonkeyPatch, main: Callable[[], None]) -> None:
    module = ModuleType("streambg.cli.main")
    monkeypatch.setattr(module, "asked", lambda: None, raising=False)
    monkeypatch.setattr(module, "run", lambda _verbs: main(), raising=False)
    monkeypatch.setitem(sys.modules, "streambg.cli.main", module)


def test_ctrl_c_of_which_a_client_made_another_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What Kafka's client raises where Ctrl-C comes while it answers."""

    def interrupted() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as heard:
            raise SystemError("list_topics returned a result with an exception set") from heard

    def taken_for_something_else() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise TypeError("expected configuration property name as type unicode string") from None

    def broken() -> None:
        raise SystemError("something else")

    verbs_that(monkeypatch, interrupted)
    with pytest.raises(SystemExit) as ended:
        start.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == ""
    verbs_that(monkeypatch, taken_for_something_else)
    with pytest.raises(SystemExit) as ended:
        start.main()
    assert ended.value.code == 130
    verbs_that(monkeypatch, broken)
    with pytest.raises(SystemError, match="something else"):
        start.main()


def test_ctrl_c_waits_for_what_would_drop_it() -> None:
    def load() -> None:
        with ctrl_c_waits():
            signal.raise_signal(signal.SIGINT)
            reached.append("the end")

    reached: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        load()
    assert reached == ["the end"]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize("made_of_it", [KeyboardInterrupt(), SystemError("a result"), TypeError("property name")])
def test_ctrl_c_ends_a_watch_whatever_became_of_it(made_of_it: BaseException) -> None:
    before = signal.getsignal(signal.SIGINT)
    with until_ctrl_c():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise made_of_it from None
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(TypeError, match="a mistake"), until_ctrl_c():
        raise TypeError("a mistake")


def test_a_mistake_long_behind_a_ctrl_c_that_was_dropped_is_no_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(ending.time, "monotonic", lambda: clock[0])

    def goes_on() -> None:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        clock[0] = 60.0
        raise TypeError("a mistake")

    with pytest.raises(TypeError, match="a mistake"), until_ctrl_c():
        goes_on()


def test_a_process_that_waits_for_its_topics_ends_on_ctrl_c(folder: Path) -> None:
    with silent_server() as (address, server):
        (folder / "pipeline.yaml").write_text(PIPELINE.format(bootstrap=address))
        log = folder / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "consumers.publisher", "-p", str(folder / "pipeline.yaml")],
                stdout=stream,
                stderr=stream,
            )
        try:
            with server.accept()[0]:
                process.send_signal(signal.SIGINT)
                until(lambda: process.poll() is not None, 60, "the end of the process")
        finally:
            process.kill()
            process.wait(20)
    assert process.returncode == 130
    assert "Traceback" not in log.read_text()


def test_ctrl_c_of_which_a_client_made_another_error_while_it_is_a_wish_to_stop() -> None:
    def taken_for_something_else() -> None:
        with Stopping():
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                raise TypeError("expected configuration property value as type unicode string") from None

    with pytest.raises(KeyboardInterrupt):
        taken_for_something_else()
    with pytest.raises(TypeError, match="our own"), Stopping():
        raise TypeError("our own")
