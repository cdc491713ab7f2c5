"""The guardian ends a server with its owner, however that ends. The servers here are `sleep`s; no port is used."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from waiting import until

from streambg.errors import StreambgError
from streambg.servers import processes
from streambg.servers.guarded import Command, Guarded

SLEEP = ["sleep", "300"]

# An owner that says the pid of its server and then waits; {} is what it does in between.
OWNER = """
import os, sys, time
from pathlib import Path
from streambg.servers.guarded import Command, Guarded
folder = Path(sys.argv[1])
server = Guarded(Command(["sleep", "300"], log=folder / "log", cwd=folder, remove=folder / "data",
                         at_end=["touch", str(folder / "ended")]))
{}
print(server.pid, flush=True)
time.sleep(300)
"""


def command(folder: Path, argv: list[str] = SLEEP, **more: object) -> Command:
    return Command(argv, log=folder / "log", cwd=folder, **more)  # type: ignore[arg-type]  # a test's shorthand


def gone(pid: int) -> bool:
    return processes.identity(pid) is None


def owner(folder: Path, action: str = "") -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER.format(action), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()


def test_the_server_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    process, pid = owner(tmp_path)
    assert not gone(pid)
    kill(process)
    until(lambda: gone(pid), 10, "the server's end")
    until((tmp_path / "ended").exists, 10, "the last command")
    until(lambda: not (tmp_path / "data").exists(), 10, "the temporary data's end")


def test_a_fork_that_holds_the_pipe_open_does_not_keep_the_server(tmp_path: Path) -> None:
    process, pid = owner(tmp_path, "child = os.fork()\nif child == 0: time.sleep(300)\nprint(child, flush=True)")
    fork = pid  # the first line is the fork's pid
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    try:
        kill(process)
        until(lambda: gone(pid), 10, "the server's end")
        assert not gone(fork)
    finally:
        os.kill(fork, signal.SIGKILL)


def guardian_of(pid: int) -> tuple[int, str]:
    """The parent of a server and what tells it from a later process with its pid."""
    guardian = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    guards = processes.identity(guardian)
    assert guards is not None
    return guardian, guards


def test_a_released_server_outlives_its_owner(tmp_path: Path) -> None:
    process, pid = owner(tmp_path, "server.release()")
    started = processes.identity(pid)
    assert started is not None
    guardian, guards = guardian_of(pid)
    kill(process)
    assert processes.identity(pid) == started
    assert processes.end(pid, started)
    until(lambda: processes.identity(guardian) != guards, 10, "the guardian's end")


def test_a_server_that_ended_before_its_release_was_read_leaves_no_guardian(tmp_path: Path) -> None:
    process, pid = owner(tmp_path, "print(server.pid, flush=True); sys.stdin.readline(); server.release()")
    started = processes.identity(pid)
    assert started is not None
    guardian, guards = guardian_of(pid)
    os.kill(guardian, signal.SIGSTOP)  # as a busy machine does: it learns of everything at once
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    assert int(process.stdout.readline()) == pid  # said again behind the release
    kill(process)
    assert processes.end(pid, started)
    os.kill(guardian, signal.SIGCONT)
    until(lambda: processes.identity(guardian) != guards, 10, "the guardian's end")


def test_the_last_word_of_an_owner_may_be_its_release(tmp_path: Path) -> None:
    process, pid = owner(tmp_path, "server.release(); print(server.pid, flush=True); os._exit(0)")
    kill(process)
    started = processes.identity(pid)
    assert started is not None
    assert processes.end(pid, started)


def test_the_server_does_not_depend_on_the_thread_that_started_it(tmp_path: Path) -> None:
    servers: list[Guarded] = []
    thread = threading.Thread(target=lambda: servers.append(Guarded(command(tmp_path))))
    thread.start()
    thread.join()
    assert servers[0].poll(timeout=0.3) is None
    assert servers[0].kill() == -signal.SIGKILL


def test_the_server_ends_when_its_guardian_is_killed(tmp_path: Path) -> None:
    server = Guarded(command(tmp_path))
    os.kill(server._guardian.pid, signal.SIGKILL)
    until(lambda: gone(server.pid), 10, "the server's end")
    until(lambda: server.poll() is not None, 10, "news of the end")
    assert server.stop() == -signal.SIGKILL


def test_stop_asks_first_and_kills_after_the_grace_time(tmp_path: Path) -> None:
    polite = Guarded(command(tmp_path, ["sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done"]))
    until(lambda: b"up" in (tmp_path / "log").read_bytes(), 10, "the trap")
    assert polite.stop() == 7
    deaf = Guarded(command(tmp_path, ["sh", "-c", "trap '' TERM; echo deaf; sleep 300"], grace=0.2))
    until(lambda: b"deaf" in (tmp_path / "log").read_bytes(), 10, "the trap")
    assert deaf.stop() == -signal.SIGKILL
    assert deaf.stop() == -signal.SIGKILL  # a second time changes nothing


def test_a_server_that_ends_by_itself_is_reported(tmp_path: Path) -> None:
    server = Guarded(command(tmp_path, ["sh", "-c", "exit 5"]))
    assert until(lambda: server.poll(timeout=0.1), 10, "the exit code") == 5
    assert server.stop() == 5


def test_limits_and_environment_reach_the_server(tmp_path: Path) -> None:
    limits = [(resource.RLIMIT_FSIZE, 4096)]
    told = Guarded(
        command(tmp_path, ["/bin/sh", "-c", "ulimit -f; echo $WORD"], limits=limits, environment={"WORD": "hi"})
    )
    assert until(lambda: told.poll(timeout=0.1) is not None, 10, "its end")
    told.stop()
    assert (tmp_path / "log").read_text().split() in (["8", "hi"], ["4", "hi"])  # blocks of 512 or of 1024 bytes


def test_a_program_that_does_not_exist_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StreambgError, match=r"cannot run /nowhere/server: .*No such file"):
        Guarded(command(tmp_path, ["/nowhere/server"]))


def test_end_leaves_a_process_alone_that_got_the_pid_later(tmp_path: Path) -> None:
    other = subprocess.Popen(SLEEP)
    try:
        assert not processes.end(other.pid, "another boot/12345")
        assert other.poll() is None
        started = processes.identity(other.pid)
        assert started is not None
        other.kill()
        until(lambda: processes.identity(other.pid) is None, 10, "a zombie counts as gone")
    finally:
        other.kill()
        other.wait()
    assert not processes.end(other.pid, started)
