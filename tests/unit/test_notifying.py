"""Notices: what is told, to whom, once, again while it fails, and never in anybody's way."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from control_log import Log
from pipeline_files import small
from plans import plan
from waiting import until

from streambg.config import load
from streambg.deciding.record import Drifted
from streambg.errors import ConfigError
from streambg.notifying import sender as sending
from streambg.notifying.notice import Notice, of_command, of_drift, of_verdict, signature
from streambg.notifying.sender import WAITING, Sender, Where


class Hook:
    """A webhook on loopback that answers what it is told to, and keeps what it got."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.codes: list[int] = []
        self.answers = threading.Event()  # as long as it is not set, the webhook hangs
        self.answers.set()
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                hook.got.append(({key.lower(): value for key, value in self.headers.items()}, body))
                hook.answers.wait(10)
                with suppress(OSError):  # who asked has not waited
                    self.send_response(hook.codes.pop(0) if hook.codes else 204)
                    self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.close()


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


def test_nobody_waits_for_a_webhook_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "STOP_S", 0.2)
    sender = Sender(Where("http://127.0.0.1:1/hook")).start()
    for number in range(WAITING + 50):  # what does not fit is dropped and counted
        sender.tell(notice(str(number)))
    began = time.monotonic()
    sender.stop()
    assert time.monotonic() - began < 2, "a full queue does not hold the end up"
    until(lambda: not any(thread.name == "notify" for thread in threading.enumerate()), 20, "its thread goes by itself")


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
