"""What the verbs look at before a command, and what they say beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from control_log import Log
from pipeline_files import deciding, loaded

from streambg.cli.plan import show_seconds
from streambg.cli.verdict import lines
from streambg.comparing.judging import case_of
from streambg.comparing.told import told
from streambg.config import Pipeline
from streambg.control import verbs
from streambg.control.sender import ControlClient, Sent
from streambg.control.state import ControlState
from streambg.control.verbs import Said
from streambg.deciding.record import FORMAT, VerdictRecord
from streambg.deciding.verdict import Word

SAID = Said("test", "a test")
NOW_MS = 1_795_780_800_000


class Client(Log):
    """Sends to a log in memory; blue m:1 is live, green m:2 the candidate."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__()
        for color, model in (("blue", "m:1"), ("green", "m:2")):
            assert self.deploy(color, model, rules=pipeline.deciding_text()).accepted

    def state(self) -> ControlState:
        return self.fold.state

    def send(self, verb: str, args: Mapping[str, Any], *, actor: str, reason: str, expected_epoch: int) -> Sent:
        entry = self.say(verb, epoch=expected_epoch, **args)
        return Sent(verb, entry.offset, 0, entry.refusal, entry.state)


def record(events: int, word: Word = "continue", deployment: int = 1) -> VerdictRecord:
    return VerdictRecord(
        FORMAT, NOW_MS, "fraud", word, False, False, (), "green", "m:2", deployment, 0, 1, "sha256:00", {},
        events, 1.0, (),
    )  # fmt: skip


Moves = Callable[..., tuple[Client, Callable[[str], Sent]]]


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Moves:
    """`moved(records)`: a client, and what says `shift`, `promote` or `forced`; the candidate keeps up."""
    pipeline = loaded(tmp_path, deciding())
    monkeypatch.setattr(verbs, "partitions_of_input", lambda _pipeline: 1)
    monkeypatch.setattr(verbs.readiness, "measure", lambda *_: [])
    monkeypatch.setattr(verbs.time, "time", lambda: NOW_MS / 1_000)

    def on(*records: VerdictRecord) -> tuple[Client, Callable[[str], Sent]]:
        monkeypatch.setattr(verbs, "read_verdicts", lambda _reader, _topic: list(records))
        log = Client(pipeline)
        client = cast(ControlClient, log)

        def move(what: str) -> Sent:
            match what:
                case "promote":
                    return verbs.promote(client, pipeline, SAID)
                case "forced":
                    return verbs.shift(client, pipeline, 1_000, SAID, force=True)
            return verbs.shift(client, pipeline, int(what), SAID)

        return log, move

    return on


@pytest.mark.parametrize("what", ["1000", "promote"])
def test_whoever_moves_traffic_without_evidence_is_told(what: str, moved: Moves) -> None:
    """It is not refused: a person may know better."""
    about = "no evidence speaks for or against green m:2 (streambg verdict)"
    for records, said in (
        ((), f"no verdict was published yet: {about}"),
        ((record(9_000, deployment=0),), f"no verdict was published yet: {about}"),  # of another candidate
        ((record(0),), f"nothing was compared yet: {about}"),
    ):
        _, move = moved(*records)
        sent = move(what)
        assert sent.accepted
        assert sent.notes == (said,)
    _, move = moved(record(1))
    assert move(what).notes == ()


def test_less_traffic_force_and_a_refusal_rest_on_no_evidence(moved: Moves) -> None:
    log, move = moved()
    assert move("forced").notes == ()
    assert move("500").notes == ()
    log.say("pause")
    refused = move("1000")
    assert not refused.accepted
    assert refused.notes == ()


@pytest.mark.parametrize(
    ("age_ms", "said"),
    [(-5_000, "0 s"), (12_400, "12 s"), (119_000, "119 s"), (125_000, "2.1 min"), (7_200_000, "2 h")],
)
def test_a_verdict_says_how_old_it_is(age_ms: int, said: str, tmp_path: Path) -> None:
    case = case_of(Client(loaded(tmp_path, deciding())).state())
    assert case is not None
    now_ms = NOW_MS + age_ms
    [first, *_] = lines(case, told([record(9_000)], case, now_ms), now_ms)
    assert first == f"continue: green m:2 against blue m:1, 9,000 events, coverage 100.00 %, judged {said} ago"
    [never, *_] = lines(case, told([], case, now_ms), now_ms)
    assert never == "continue: green m:2 against blue m:1"


def test_seconds_have_two_digits_and_no_exponent() -> None:
    found = [show_seconds(each) for each in (0.25, 99.4, 119, 7_140, 172_000, 1e8)]
    assert found == ["0.25 s", "99 s", "119 s", "119 min", "48 h", "1157 d"]
