"""Children of a supervisor: real processes with stand-ins for the consumers; no server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from waiting import until

from streambg.errors import ConfigError, Refused, StreambgError
from streambg.running import plan
from streambg.running.holders import await_free
from streambg.running.lines import labelled, readable
from streambg.running.restarts import FIRST_DELAY, LONG_LIFE, LONGEST_DELAY, Again, Leave, after_end, words
from streambg.running.stopping import Stopping
from streambg.running.supervisor import Supervisor

FOREVER = "import time\nprint('ready', flush=True)\ntime.sleep(600)\n"
IN_ORDER = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
    "print('ready', flush=True)\ntime.sleep(600)\n"
)
DEAF = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(600)\n"
)


class Running:
    """A supervisor over stand-ins, and what it said."""

    def __init__(
        self,
        folder: Path,
        scripts: Mapping[str, str],
        hear: Callable[[str, str], None] | None = None,
        *,
        hold: bool = False,
    ) -> None:
        self.folder = folder
        (folder / "consumers").mkdir()
        (folder / "consumers" / "__init__.py").touch()
        for module, script in scripts.items():
            (folder / "consumers" / f"{module}.py").write_text(script)
        self.lines: list[tuple[str, str]] = []
        self.said: list[tuple[str, str, str]] = []
        processes = [plan.Process(module, module, (), 1, late=module in plan.LAST) for module in scripts]
        self.supervisor = Supervisor(
            processes,
            folder / "pipeline.yaml",
            os.environ,
            hear or (lambda name, line: self.lines.append((name, line))),
            lambda name, text, level: self.said.append((name, text, level)),
            hold=hold,
        )
        self.supervisor.start()

    def pid(self, name: str) -> int:
        life = self.supervisor.seen()[name].running
        return life.pid if life else 0

    def ready(self, name: str, times: int = 1) -> bool:
        return self.lines.count((name, "ready")) >= times


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def start(hold: bool = False, **scripts: str) -> Running:
        made.append(Running(tmp_path, scripts, hold=hold))
        return made[-1]

    yield start
    for running in made:
        running.supervisor.kill()
        running.supervisor.stop()


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except FileNotFoundError:
        return True


# -- what is run


def test_the_plan_names_every_member_once() -> None:
    made = plan.processes(2, 1, range(1, 8))
    assert [process.name for process in made] == [
        "scorer.blue.0",
        "scorer.blue.1",
        "scorer.green.0",
        "scorer.green.1",
        "publisher",
        "comparator",
        "controller",
    ]
    argv = made[3].argv(Path("/p/pipeline.yaml"), "python")
    assert " ".join(argv) == ("python -m consumers.scorer --color green --slot 1 -p /p/pipeline.yaml --metrics-port 4")
    assert [process.name for process in made if process.late] == ["comparator", "controller"]


def test_the_plan_has_room_for_a_few_members_only() -> None:
    with pytest.raises(ConfigError, match="--publishers 17 is not between 1 and 16"):
        plan.processes(1, 17, range(20))


def test_a_pipeline_file_without_consumers_beside_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").touch()
    with pytest.raises(ConfigError, match=r"publisher\.py, comparator\.py, controller\.py"):
        plan.require_consumers(tmp_path / "pipeline.yaml")


# -- when a child ends


@pytest.mark.parametrize("code", [2, 4, 7, 8, 9])
def test_what_a_restart_cannot_mend_is_left_with_a_way_out(code: int) -> None:
    what = after_end(code, 100.0, 0)
    assert isinstance(what, Leave)
    assert what.way_out


@pytest.mark.parametrize("code", [0, 1, 3, 15, 130, -9, -15])
def test_everything_else_is_started_again(code: int) -> None:
    assert after_end(code, 1.0, 0) == Again(FIRST_DELAY, 1)


def test_the_pause_doubles_up_to_its_cap_and_a_long_life_forgets() -> None:
    delays, short_lives = [], 0
    for _ in range(10):
        what = after_end(1, 1.0, short_lives)
        assert isinstance(what, Again)
        delays.append(what.delay)
        short_lives = what.short_lives
    assert delays[:4] == [FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY, 8 * FIRST_DELAY]
    assert delays[-1] == LONGEST_DELAY
    assert after_end(1, 1.0, 10**6) == Again(LONGEST_DELAY, 10**6 + 1)
    assert after_end(1, LONG_LIFE, 10) == Again(FIRST_DELAY, 1)


def test_exit_codes_in_words() -> None:
    assert (words(3), words(-9), words(-200)) == ("exit code 3", "signal SIGKILL", "signal 200")


# -- lines


def test_a_json_line_becomes_a_sentence() -> None:
    line = json.dumps(
        {"event": "model loaded", "level": "warning", "timestamp": "2026-11-23T21:03:04.5Z", "ms": 12, "why": "a b"}
    )
    assert readable(line) == ("warning", '21:03:04 warning model loaded  ms=12 why="a b"')


@pytest.mark.parametrize("line", ["plain", "{broken", '{"no": "event"}', "[1]", "", '{"event": 1}', "{" * 100_000])
def test_any_other_line_stays_as_it_is(line: str) -> None:
    assert readable(line) == ("info", line)


def test_orders_to_the_terminal_are_left_out() -> None:
    assert readable('\x1b[?25l{"event": "started", "level": "info"}') == ("info", "started")
    assert readable("\x1b[31mred\x1b[0m") == ("info", "red")


def test_a_label_is_as_wide_as_the_longest() -> None:
    text = labelled("publisher", "[bold]no markup[/]", 12)
    assert text.plain == "publisher    | [bold]no markup[/]"


# -- real processes


def test_lines_arrive_labelled_and_a_wished_end_is_in_order(run: Callable[..., Running]) -> None:
    running = run(scorer=IN_ORDER, publisher=IN_ORDER)
    until(lambda: running.ready("scorer") and running.ready("publisher"), what="both ready")
    seen = running.supervisor.stop()
    assert [one.lives[-1].code for one in seen.values()] == [0, 0]
    assert all(one.lives[-1].wanted and len(one.lives) == 1 for one in seen.values())
    assert [text for _, text, level in running.said if level != "info"] == []


def test_a_killed_child_comes_back_and_the_others_do_not_notice(run: Callable[..., Running]) -> None:
    running = run(scorer=FOREVER, publisher=FOREVER)
    until(lambda: running.ready("scorer") and running.ready("publisher"), what="both ready")
    scorer, publisher = running.pid("scorer"), running.pid("publisher")
    os.kill(publisher, signal.SIGKILL)
    until(lambda: running.ready("publisher", 2), what="the publisher's second life")
    lives = running.supervisor.seen()["publisher"].lives
    assert [life.code for life in lives] == [-9, None]
    assert lives[1].pid != publisher
    assert running.pid("scorer") == scorer
    assert ("publisher", "ended with signal SIGKILL; started again in 0.1 s", "warning") in running.said


def test_send_reaches_the_process_that_runs_now(run: Callable[..., Running]) -> None:
    running = run(scorer=FOREVER)
    until(lambda: running.ready("scorer"), what="ready")
    running.supervisor.send("scorer", signal.SIGKILL)
    until(lambda: running.ready("scorer", 2), what="the second life")


def test_what_no_event_waits_for_is_started_when_the_others_have_come_up(run: Callable[..., Running]) -> None:
    """It would take the processors from them. A line that one of them says again is not the other's."""
    waits = "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)\n" + FOREVER
    running = run(scorer=FOREVER, publisher=waits, comparator=FOREVER)
    until(lambda: running.ready("scorer"), 10, "the scorer")
    running.supervisor.send("scorer", signal.SIGKILL)
    until(lambda: running.ready("scorer", 2), 10, "the scorer again")
    assert not running.supervisor.seen()["comparator"].lives
    (running.folder / "go").touch()
    until(lambda: running.ready("comparator"), 10, "the comparator")
    began = {name: seen.lives[0].began for name, seen in running.supervisor.seen().items()}
    assert running.ready("publisher")
    assert max(began, key=lambda name: began[name]) == "comparator"


def test_held_back_it_is_started_when_told(run: Callable[..., Running]) -> None:
    running = run(hold=True, scorer=FOREVER, comparator=FOREVER)
    until(lambda: running.ready("scorer"), 10, "the scorer")
    running.supervisor.send("scorer", signal.SIGKILL)
    until(lambda: running.ready("scorer", 2), 10, "the scorer again")
    assert not running.supervisor.seen()["comparator"].lives
    running.supervisor.release()
    until(lambda: running.ready("comparator"), 10, "the comparator")
    running.supervisor.release()  # nothing is left to start
    running.supervisor.send("comparator", signal.SIGKILL)
    until(lambda: running.ready("comparator", 2), 10, "the comparator again")


def test_held_back_it_is_not_waited_for_at_the_end(run: Callable[..., Running]) -> None:
    running = run(hold=True, scorer=IN_ORDER, comparator=FOREVER)
    until(lambda: running.ready("scorer"), 10, "the scorer")
    ended = running.supervisor.stop()
    assert ended["scorer"].lives[-1].code == 0
    assert not ended["comparator"].lives


def test_a_child_that_must_not_go_on_is_reported_and_all_left_is_the_end(run: Callable[..., Running]) -> None:
    running = run(scorer="print('another runs in this slot')\nraise SystemExit(7)\n")
    until(running.supervisor.ended, what="nobody left")
    seen = running.supervisor.seen()["scorer"]
    assert len(seen.lives) == 1
    assert "--slot" in seen.left
    assert running.lines == [("scorer", "another runs in this slot")]
    assert running.said[-1][2] == "error"


def test_a_child_that_never_ends_by_itself_is_killed(
    run: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streambg.running.supervisor.GRACE", 0.2)
    running = run(scorer=DEAF)
    until(lambda: running.ready("scorer"), what="ready")
    assert running.supervisor.stop()["scorer"].lives[-1].code == -9


def test_a_second_wish_does_not_wait(run: Callable[..., Running]) -> None:
    running = run(scorer=DEAF)
    until(lambda: running.ready("scorer"), what="ready")
    began = time.monotonic()
    running.supervisor.kill()
    assert running.supervisor.stop()["scorer"].lives[-1].code == -9
    assert time.monotonic() - began < 5.0  # far below GRACE


def test_a_last_line_without_newline_and_bytes_that_are_no_text_arrive(run: Callable[..., Running]) -> None:
    script = "import os\nos.write(1, b'\\xff whole\\n' + b'x' * 300000 + b'\\nlast')\nraise SystemExit(2)\n"
    running = run(scorer=script)
    until(running.supervisor.ended, what="nobody left")
    texts = [line for _, line in running.lines]
    assert texts[0] == "\ufffd whole"
    assert texts[-1] == "last"
    assert sum(text.count("x") for text in texts) == 300_000


def test_what_a_listener_raises_ends_everything(tmp_path: Path) -> None:
    def broken(_name: str, _line: str) -> None:
        raise RuntimeError("listener")

    running = Running(tmp_path, {"scorer": FOREVER}, broken)
    with pytest.raises(StreambgError, match="listener"):
        until(running.supervisor.ended, what="the end")
    assert gone(running.supervisor.seen()["scorer"].lives[0].pid)


def test_children_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "consumers").mkdir()
    (tmp_path / "consumers" / "__init__.py").touch()
    (tmp_path / "consumers" / "scorer.py").write_text(DEAF)
    program = (
        "import os, sys, time\nfrom pathlib import Path\n"
        "from streambg.running.plan import Process\nfrom streambg.running.supervisor import Supervisor\n"
        "say = lambda name, text, level: print(text, flush=True)\n"
        "hear = lambda name, line: print(line, flush=True)\n"
        "Supervisor([Process('scorer', 'scorer', (), 1)], Path('pipeline.yaml'), os.environ, hear, say).start()\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    try:
        started, ready = parent.stdout.readline(), parent.stdout.readline()
        child = int(started.rpartition(" ")[2])
        assert ready == "ready\n"
        assert not gone(child)
    finally:
        parent.kill()
        parent.communicate()
    until(lambda: gone(child), 5.0, "the child's end")


# -- signals


def test_a_signal_interrupts_a_slow_start_and_is_a_wish_later() -> None:
    pressed: list[str] = []
    with Stopping() as stopping:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)  # what ends now is ended in order
    assert stopping.by is signal.SIGTERM
    with Stopping() as stopping:
        stopping.listen(at_once=lambda: pressed.append("again"))
        signal.raise_signal(signal.SIGINT)
        assert stopping.wished.is_set()
        assert pressed == []
        signal.raise_signal(signal.SIGINT)
        assert pressed == ["again"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# -- whose places are they? --------------------------------------------------------------------------------------------

HELD = {"scorer.blue slot 0": "/127.0.0.1", "publisher slot 0": "/127.0.0.1"}


def test_members_that_have_just_ended_are_waited_for_the_living_are_named() -> None:
    said: list[str] = []
    await_free(dict, said.append)
    assert said == [], "nobody is there: nothing is said"
    looks = iter([HELD, {"publisher slot 0": "/127.0.0.1"}, {}])
    await_free(lambda: next(looks), said.append, 30.0)
    assert len(said) == 1
    assert said[0].startswith("scorer.blue slot 0, publisher slot 0 (at 127.0.0.1): taken; ")
    with pytest.raises(Refused, match=r"runs already: scorer\.blue slot 0, publisher slot 0 \(at 127\.0\.0\.1\)"):
        await_free(lambda: HELD, said.append, 0.0)
