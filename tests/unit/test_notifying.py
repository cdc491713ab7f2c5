"""Notices: what is told, to whom, once, again while it fails, and never in anybody's way."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from control_log import Log
from hooks import Hook, listening
from pipeline_files import loaded, small
from plans import plan
from waiting import until

from streambg.config import load
from streambg.deciding.record import Drifted
from streambg.errors import ConfigError, Fenced, Gap
from streambg.kafka.membership import LEASED
from streambg.notifying import sender as sending
from streambg.notifying.alarms import Alarms
from streambg.notifying.notice import AGAIN_MS, Notice, of_command, of_drift, of_line, of_verdict, signature
from streambg.notifying.sender import WAITING, Sender, Where
from streambg.process import logs


@pytest.fixture
def hook() -> Iterator[Hook]:
    with listening() as made:
        yield made


def notice(key: str = "1", **more: Any) -> Notice:
    known: dict[str, Any] = {"severity": "info", "text": "fraud: promote by ann", "time_ms": 1, "epoch": 4}
    return Notice("fraud", "command", key=key, **{**known, **more})


def test_the_webhook_gets_signed_json_once(hook: Hook) -> None:
    sender = Sender(Where(hook.address, "s3cret")).start()
    for _ in range(3):
        sender.tell(notice())
    until(lambda: len(hook.got) == 1, 10)
    sender.stop()
    headers, body = hook.got[0]
    assert len(hook.got) == 1
    assert headers["x-streambg-signature"] == signature("s3cret", body)
    told = json.loads(body)
    assert told["id"] == headers["x-streambg-id"] == notice().id
    assert (told["pipeline"], told["epoch"], told["text"]) == ("fraud", 4, "fraud: promote by ann")
    assert b"s3cret" not in body


def test_it_is_told_again_while_the_webhook_fails_and_a_refusal_is_final(hook: Hook) -> None:
    hook.codes = [503, 429, 204, 400]
    sender = Sender(Where(hook.address)).start()
    sender.tell(notice("1"))
    until(lambda: len(hook.got) == 3, 20)
    sender.tell(notice("2"))
    until(lambda: len(hook.got) == 4, 10)
    sender.tell(notice("3"))
    until(lambda: len(hook.got) == 5, 10)
    sender.stop()
    assert [json.loads(body)["id"] for _, body in hook.got] == [notice("1").id] * 3 + [notice("2").id, notice("3").id]


def alone() -> bool:
    """No sender's thread is left."""
    return not any(thread.name == "notify" for thread in threading.enumerate())


def test_nobody_waits_for_a_webhook_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "STOP_S", 0.2)
    sender = Sender(Where("http://127.0.0.1:1/hook")).start()
    for number in range(WAITING + 50):  # what does not fit is dropped and counted
        sender.tell(notice(str(number)))
    began = time.monotonic()
    sender.stop()
    assert time.monotonic() - began < 2, "a full queue does not hold the end up"
    until(alone, 20, "its thread goes by itself")


def test_a_webhook_that_hangs_is_in_nobodys_way(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "CALL_S", 0.2)
    hook.answers.clear()
    sender = Sender(Where(hook.address)).start()
    began = time.monotonic()
    for number in range(20):
        sender.tell(notice(str(number)))
    assert time.monotonic() - began < sending.CALL_S, "nobody waited for a single call"
    until(lambda: len(hook.got) > 1, 10, "the call was given up, and is tried again")
    hook.answers.set()
    wanted = {notice(str(number)).id for number in range(20)}
    until(lambda: {json.loads(body)["id"] for _, body in hook.got} == wanted, 20, "all of them")
    hook.answers.clear()
    sender.tell(notice("one more"))
    until(lambda: json.loads(hook.got[-1][1])["id"] == notice("one more").id, 10)
    began = time.monotonic()
    sender.stop()
    assert time.monotonic() - began < sending.STOP_S + 1
    hook.answers.set()
    until(alone, 20, "what the thread still has to say stands in no other test's log")


def test_a_command_gets_the_notice_on_its_standard_input(tmp_path: Path) -> None:
    there = tmp_path / "told"
    sender = Sender(Where(command=("sh", "-c", f"cat > {there}.part && mv {there}.part {there}"))).start()
    sender.tell(notice())
    until(there.exists, 10)
    sender.stop()
    assert json.loads(there.read_text())["text"] == "fraud: promote by ann"


def test_two_processes_tell_it_once(hook: Hook) -> None:
    claimed: set[str] = set()

    def claim(name: str) -> bool:
        return not (name in claimed or claimed.add(name))

    senders = [Sender(Where(hook.address), claim).start() for _ in range(2)]
    for sender in senders:
        sender.tell(notice("1"))
    until(lambda: len(hook.got) == 1, 10)
    for sender in senders:
        sender.tell(notice("2"))
    until(lambda: len(hook.got) == 2, 10)
    for sender in senders:
        sender.stop()
    assert len(hook.got) == 2


def test_only_what_is_severe_enough(hook: Hook) -> None:
    sender = Sender(Where(hook.address, lowest="warning")).start()
    sender.tell(notice("1"))
    sender.tell(notice("2", severity="critical"))
    until(lambda: len(hook.got) == 1, 10)
    sender.stop()
    assert json.loads(hook.got[0][1])["severity"] == "critical"


# -- what is news ---------------------------------------------------------------------------------------------------


def test_accepted_commands_are_news_and_refused_ones_are_not() -> None:
    log = Log()
    first = of_command("fraud", log.deploy("blue", "m:1"))
    assert first is not None
    assert first.severity == "info"
    assert "deploy by test" in first.text
    assert of_command("fraud", log.say("promote", candidate=7)) is None
    assert of_command("fraud", log.raw(b"no envelope")) is None


def test_what_takes_a_model_out_is_critical_and_a_person_who_takes_over_a_warning() -> None:
    log = Log()
    log.deploy("blue", "m:1")
    log.deploy("green", "m:2")
    log.say("rollout-start", candidate=1, plan=plan().text())
    taken = of_command("fraud", log.say("shift", candidate=1, weight=100))
    assert taken is not None
    assert taken.severity == "warning"
    assert "the rollout ends with it" in taken.text
    aborted = of_command("fraud", log.say("abort"))
    assert aborted is not None
    assert aborted.severity == "critical"


def test_the_same_news_has_the_same_id_in_every_controller() -> None:
    first = of_verdict("fraud", "abort", ("errors: harm",), "0/1", 4, 1_000)
    again = of_verdict("fraud", "abort", ("errors: harm, later",), "0/1", 4, 2_000)
    assert first.id == again.id
    assert first.id != of_verdict("fraud", "abort", (), "0/2", 4, 1_000).id


def test_drift_is_told_with_what_where_and_how_much() -> None:
    drifted = Drifted(2, "green score", 400, 480, 0.1, 0.3, "mean", 0.2, 0.0834)
    told = of_drift("fraud", drifted, "1/0", 4, 1_000)
    assert told.text == (
        "fraud: drift of the green score in partition 2 since offset 400: mean 0.1, now 0.3 "
        "(mean 0.2, the limit is 0.0834)"
    )
    assert json.loads(told.body())["data"]["since"] == 400
    both = msgspec.structs.replace(drifted, stream="blue f1", measure="psi", value=0.4, limit=0.25, alike=True)
    assert (
        "drift of the input (blue f1, and the other color alike) in partition 2"
        in of_drift("fraud", both, "1/0", 4, 1_000).text
    )


# -- a process's own alarms -----------------------------------------------------------------------------------------

LATE = {"event": "alarm", "level": "warning", "what": "in/3@1234: green's answer is late"}
GONE = {"event": "stopped", "level": "error", "why": "in/0: offset 7 is gone", "way_out": "accept-gap", "exit_code": 8}


def said(line: dict[str, Any], process: str = "publisher", time_ms: int = 1_000) -> Notice | None:
    return of_line("fraud", process, f"{process}.1", line, time_ms)


def test_alarms_and_errors_of_a_process_are_news_and_its_other_lines_are_not() -> None:
    late, gone = said(LATE), said(GONE)
    assert late is not None
    assert (late.severity, late.text) == ("warning", "fraud: publisher.1: in/3@1234: green's answer is late")
    assert json.loads(late.body())["epoch"] is None
    assert gone is not None
    assert gone.severity == "critical"
    assert gone.text == "fraud: publisher.1: stopped; in/0: offset 7 is gone; accept-gap"
    failed = said({"event": "comparing_failed", "level": "error", "exception": "Traceback\n  line 3\nValueError: no"})
    assert failed is not None
    assert failed.text == "fraud: publisher.1: comparing failed; ValueError: no"
    for line in ({**LATE, "event": "session_ended"}, {"event": "started", "level": "info"}, {}):
        assert said(line) is None


def test_alarms_alike_but_for_their_numbers_are_told_once_an_hour_by_a_role() -> None:
    first = said(LATE)
    assert first is not None

    def same(other: Notice | None) -> bool:
        return other is not None and other.id == first.id

    assert same(said({**LATE, "what": "in/0@99: green's answer is late"}, time_ms=AGAIN_MS - 1))
    assert same(of_line("fraud", "publisher", "publisher.0", LATE, 1_000)), "another member saw it, too"
    assert not same(said({**LATE, "what": "in/3@1234: blue's answer is late"}))
    assert not same(said(LATE, process="scorer.green"))
    assert not same(said(LATE, time_ms=AGAIN_MS)), "it lasts"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """A process's: lines of JSON."""
    before = structlog.get_config()
    logs.configure("publisher", console=False)
    lines = io.StringIO()
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=lines))
    yield lines
    structlog.configure(**before)
    structlog.contextvars.clear_contextvars()


def test_what_the_log_says_is_told_by_the_process_itself(
    hook: Hook, tmp_path: Path, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LEASED, "1")
    text = small().replace("127.0.0.1:6379", "127.0.0.1:1") + "notify: {webhook: '${HOOK}', severity: warning}\n"
    alarms, logger = Alarms(), structlog.get_logger("streambg.publisher")
    alarms.begin(loaded(tmp_path, text, {"HOOK": hook.address}), "publisher", 1)
    for number in range(3):
        logger.warning("alarm", what=f"in/{number}@7: green's answer is late")
    logger.warning("session_ended", why="a broker went away")
    logger.error("stopped", why="another has the slot", exit_code=Fenced.exit_code)
    logger.error("stopped", why="data is gone", exit_code=Gap.exit_code)
    began = time.monotonic()
    alarms.finish()
    assert time.monotonic() - began < sending.STOP_S + 1
    assert [(each["severity"], each["text"]) for each in hook.told] == [
        ("warning", "fraud: publisher.1: in/0@7: green's answer is late"),
        ("critical", "fraud: publisher.1: stopped; data is gone"),
    ]
    assert log.getvalue().count('"event"') == 6, "every line is in the log all the same"


@pytest.mark.usefixtures("log")
def test_where_nobody_is_to_be_told_nothing_listens(tmp_path: Path) -> None:
    before = structlog.get_config()["processors"]
    alarms = Alarms()
    alarms.begin(loaded(tmp_path, small()), "publisher", 1)
    alarms.finish()
    assert structlog.get_config()["processors"] == before


# -- configuration --------------------------------------------------------------------------------------------------


def test_secrets_come_from_the_environment_and_are_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(small() + "notify: {webhook: '${HOOK}', secret: '${KEY}', severity: warning}\n")
    pipeline = load(file, {"HOOK": "https://chat.example/T0KEN", "KEY": "s3cret"})
    assert pipeline.notify.webhook is not None
    assert pipeline.notify.webhook.get_secret_value() == "https://chat.example/T0KEN"
    shown = repr(pipeline) + pipeline.model_dump_json() + pipeline.deciding_text()
    assert "T0KEN" not in shown
    assert "s3cret" not in shown


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("{webhook: 'https://x', secret: hidden}", "a secret must not stand in the file"),
        ("{webhook: chat.example}", "is no address"),
        ("{secret: '${KEY}'}", "there is none"),
        ("{severity: loud}", "critical"),
        ("{url: 'https://x'}", "url"),
    ],
)
def test_a_wrong_section_is_named(tmp_path: Path, section: str, says: str) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(small() + f"notify: {section}\n")
    with pytest.raises(ConfigError) as caught:
        load(file, {"KEY": "s3cret"})
    assert says in str(caught.value)
    assert "s3cret" not in str(caught.value)
