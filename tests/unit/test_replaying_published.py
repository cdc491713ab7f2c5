"""`streambg replay`: what was published, and whose it is, from planted topics."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from replay_documents import REPORT
from replays import GATE, LABELS, QUESTION, TERMS, Shifted, answerer, events, lane, nothing

from streambg.audit.parsing import HeaderParser, LetterParser
from streambg.audit.sources import Chunk, Role
from streambg.audit.stream import Bounds, Stream
from streambg.audit.tally import Tally
from streambg.comparing.pairing import Rows, match
from streambg.comparing.side import Place as Place_
from streambg.records.batch import Batch, encode
from streambg.records.coverage import Coverage
from streambg.records.gate import Gate
from streambg.records.outcome import GIVEN_UP, DeadLetter, encode_dead_letter, header_template
from streambg.records.rules import Rules
from streambg.records.source import Color, Source
from streambg.replaying import state as states
from streambg.replaying.against import AgainstColor, AgainstPublished
from streambg.replaying.contender import Contender, Spent
from streambg.replaying.document import Report
from streambg.replaying.labels import LabelTable
from streambg.replaying.partition import Candidate, PartitionReplay, Rule
from streambg.replaying.plan import Deployed, Plan
from streambg.replaying.proof import Count, Prover
from streambg.replaying.rowing import rows_of
from streambg.replaying.state import LabelsRead
from streambg.replaying.stored import Stored
from streambg.replaying.summing import Found, report


class Log:
    """`stored.Log` of these batches; counts how many were read."""

    def __init__(self, batches: Sequence[Batch], deployment: int) -> None:
        self.place = Place_(0, Coverage(deployment))
        self.read = 0
        self._batches = batches

    def __iter__(self) -> Iterator[list[tuple[int, bytes]]]:
        for offset, batch in enumerate(self._batches):
            self.read += 1
            yield [(offset, encode(batch))]

    def close(self) -> None:
        """Nothing is open."""


def stored_batches() -> list[Batch]:
    """Deployment 1 answers 0 to 99, with a repeat; 5 answers from 80 on: it was seeded where 1 was settled."""
    first = Contender(answerer(1, Shifted()), 0, 1, Spent())
    fifth = Contender(answerer(5, Shifted(0.1)), 0, 1, Spent())
    pieces = [first.part(at - 1, events(at, at + 20)).pieces for at in (0, 20, 20, 40, 60, 80)]
    pieces += [fifth.part(at - 1, events(at, at + 20)).pieces for at in range(80, 400, 20)]
    return [batch for some in pieces for batch, _, _ in some]


def test_P8_a_deployments_rows_are_found_and_its_successors_log_is_not_read_to_the_end() -> None:
    logs: dict[int, Log] = {}

    def open_log(_color: Color, deployment: int, _low: int) -> Log:
        return logs.setdefault(deployment, Log(stored_batches(), deployment))

    stored = Stored(open_log, 1)
    assert stored.part("blue", 1, -1, 49).offsets.tolist() == list(range(50))
    assert stored.part("blue", 1, 49, 119).offsets.tolist() == list(range(50, 100))
    assert logs[1].read < len(stored_batches()), "what comes behind the successor's answer to 119 is not its"
    assert stored.part("blue", 5, 79, 119).offsets.tolist() == list(range(80, 120))


def deployed() -> dict[int, tuple[Deployed, ...]]:
    asks = '[null,["p",0.5]]'
    return {
        1: (Deployed(1, "blue", "m:1", "sha256:" + "1" * 64, asks),),
        5: (Deployed(5, "blue", "m:5", "sha256:" + "5" * 64, asks),),
    }


BOUNDS = Bounds(10, 150, 200, -1)


def outcomes(role: Role, records: Sequence[tuple[int, int, str, bytes]], bounds: Bounds = BOUNDS) -> Stream:
    """(source offset, epoch, last word, value) each; of a dead letter the value is its reason."""
    offsets, values, headers = [], [], []
    for number, (offset, epoch, why, value) in enumerate(records):
        [slot] = deployed()[epoch]
        offsets.append(number)
        if role == "output":
            template = header_template("in", 0, slot.color, slot.model, slot.digest, epoch)
            headers.append(template % (offset, why.encode()))
            values.append(value)
        else:
            reasons = {"blue": value.decode(), "green": "none"}
            values.append(encode_dead_letter(DeadLetter(Source("in", 0, offset), epoch, "blue", reasons)))
    chunk = Chunk(offsets, [b"k"] * len(offsets), [0] * len(offsets), values, headers)
    parser = (HeaderParser if role == "output" else LetterParser)("in", 0)
    return Stream(role, iter([chunk] if offsets else []), parser, bounds, Tally("in", 0))


def test_P15_published_answers_are_their_deployments_rows_and_what_is_missing_is_named() -> None:
    """Events 0..199: owed from 10 on, settled to 150; 20 is a dead letter, 30 was lost, 60's value tells its score."""
    model = Contender(answerer(1, Shifted(fails=20)), 0, 1, Spent()).part(-1, events(0, 200))
    by_hand = b'{"p":0.25,"decision":false}'
    fifth = Contender(answerer(5, Shifted(0.1)), 0, 1, Spent()).part(-1, events(0, 200))
    told = [
        (at, 1 if at < 90 else 5, "route", (model if at < 90 else fifth).values[at])
        for at in range(10, 151)
        if at not in (20, 30, 60)
    ]
    told.append((60, 1, "route", by_hand))
    told.sort(key=lambda record: record[0])
    told.insert(5, (14, 1, "supersedes", b"again"))
    batches = [batch for batch in stored_batches() if 60 not in batch.offsets.tolist()]

    def open_log(_color: Color, deployment: int, _low: int) -> Log:
        return Log(batches, deployment)

    where = replace(lane(200), origin=10, settled=150, outcomes_from=12)
    streams = outcomes("output", told), outcomes("dead-letters", [(20, 1, "", b"model: no answer")])
    against = AgainstPublished(*streams, Stored(open_log, 1), where, deployed(), ("p",))
    baseline = against.take(-1, 199, events(0, 200), model)
    assert baseline.came == {"route": 139, "dead-letter": 1, "lost": 1, "before-origin": 10, "unsettled": 49}
    assert baseline.silent == 1
    assert baseline.missing["lost"].tolist() == [30]
    assert baseline.answering == {("blue", 1): 78, ("blue", 5): 61}
    part = baseline.part
    assert part.offsets.tolist() == [at for at in range(10, 151) if at != 30]
    row = part.offsets.tolist().index
    assert not part.ok[row(20)]
    assert part.values[row(20)] == b"model: no answer"
    assert part.scores[row(60), 0] == 0.25, "its batch is gone: the value tells"
    assert part.scores[row(95), 0] == fifth.scores[95, 0]
    assert part.column("kind")[row(95)] == "abc"[95 % 3]
    assert baseline.published.deployments[row(20)] == 1
    rows = Rows(-1, 199, part, model, *match(part.offsets, model.offsets), {}, {})
    count = Count()
    Prover("in", 0, [1], [], lambda _: pytest.fail("nothing is asked again")).add(
        count, rows, baseline.published, nothing
    )
    assert (count.events, count.reproduced, count.different) == (79, 78, 1), "the dead letter is reproduced, too"
    assert count.first[0].source == "in/0@60"


def judged(
    candidate: Shifted,
    told: Sequence[tuple[int, int, str, bytes]],
    letters: Sequence[tuple[int, int, str, bytes]] = (),
    gate: Gate = GATE,
) -> Report:
    """Labels say what `Shifted()` says; no prediction is kept any more."""
    end = 2_000
    where, bounds = lane(end), Bounds(0, end - 1, end, -1)
    table = LabelTable(LABELS)
    events_of = range(end)
    table.take(
        [1_000 * at + 500 for at in events_of] + [10**9],
        [json.dumps({"id": at, "y": at % 10 >= 5}).encode() for at in [*events_of, end]],
    )
    table.sort()
    terms = replace(TERMS, gate=gate)
    state = states.begun(where, terms, 1)
    state.labels, state.met = LabelsRead(table.read, {}), table.begun()
    streams = outcomes("output", told, bounds), outcomes("dead-letters", letters, bounds)
    against = AgainstPublished(*streams, Stored(lambda *_: None, 1), where, deployed(), ("p",))
    contender = Contender(answerer(1, candidate), 0, 1, state.models[0].spent)
    prover = Prover("in", 0, [1], [], contender.ask)
    rule = Rule(terms, QUESTION, None)
    replay = PartitionReplay(state, [Candidate(contender, prover)], against, rule, table, nothing)
    for border in (700, end):
        replay.step(events(state.upto + 1, border), border - 1)
    rules = {"outputs": ["p"], "decision": {"output": "p", "threshold": 0.5}, "gate": gate.data()}
    identity = replace(REPORT.identity, as_if_weight=None)
    plan = Plan(1, identity, "", (where,), (), deployed(), "", False, 0)
    return report(Found(plan, Rules.from_text(json.dumps(rules)), [state], [()]))


def in_words(offset: int) -> bytes:
    """What a model with values of its own publishes: always right, and nobody can read its score back."""
    return b"ALARM" if offset % 10 >= 5 else b"OK"


def in_json(offset: int) -> bytes:
    return json.dumps({"p": offset % 10 / 10, "decision": offset % 10 >= 5}, separators=(",", ":")).encode()


# With the last of the metrics, flips, such events would abort any model; without it they would promote one that is
# wrong on 30 %.
@pytest.mark.parametrize("gate", [GATE, replace(GATE, metrics=GATE.metrics[:2])])
@pytest.mark.parametrize("more", [0.0, 0.3])
def test_values_that_say_no_score_are_nobodys_failure_and_no_evidence(more: float, gate: Gate) -> None:
    """Planted: live was always right, in words of its own, and its predictions have expired."""
    told = judged(Shifted(more), [(at, 1, "route", in_words(at)) for at in range(2_000)], gate=gate)
    [scored] = told.models
    assert scored.verdict.word == "continue"
    assert scored.verdict.coverage == 0
    assert [(hole.what, hole.offsets) for hole in told.counts.holes] == [
        ("not comparable: its value could not be read as the model's outputs", 2_000)
    ]
    assert told.counts.came == {"route": 2_000}
    assert (scored.agreement.matched, scored.agreement.only_model, scored.against.rows) == (0, 2_000, 0)
    assert {metric.events for metric in scored.metrics} == {0}
    assert scored.proof.events == 2_000, "bytes are compared all the same"
    assert scored.proof.different == 2_000


def test_what_can_be_read_is_evidence_and_what_cannot_be_lowers_its_coverage() -> None:
    """A hundredth may be missing: then nothing stands in the way; with a tenth a good model stays undecided."""
    for every, word in ((200, "promote"), (10, "continue")):
        values = [in_words(at) if at % every == 3 else in_json(at) for at in range(2_000)]
        [scored] = judged(Shifted(), [(at, 1, "route", value) for at, value in enumerate(values)]).models
        assert scored.verdict.word == word
        assert scored.verdict.coverage == 1 - 1 / every
        assert scored.agreement.matched == scored.agreement.agree == 2_000 - 2_000 // every
        assert (scored.agreement.errors_against, scored.against.errors) == (0, 0)
        assert scored.labels is not None
        assert scored.labels.matched == scored.agreement.matched


def test_P29_events_that_were_given_up_are_no_errors_of_live() -> None:
    """A third of the range is an accepted gap: nobody was asked, so nothing is owed there and nobody is better."""
    gap = range(500, 1_200)
    told = judged(
        Shifted(),
        [(at, 1, "route", in_json(at)) for at in range(2_000) if at not in gap and at != 40],
        [(40, 1, "", b"model: no answer"), *((at, 1, "", GIVEN_UP.encode()) for at in gap)],
    )
    [scored] = told.models
    assert told.counts.came == {"route": 1_299, "dead-letter": 1, "given-up": 700}
    assert [(hole.first, hole.end, hole.offsets, hole.what) for hole in told.counts.holes] == [
        (500, 1_200, 700, "given up with accept-gap: nobody was asked")
    ]
    assert scored.agreement.errors_against == scored.against.errors == 1
    assert (scored.agreement.matched, scored.verdict.coverage) == (1_300, 1)
    errors = next(metric for metric in scored.metrics if metric.metric == "errors" and not metric.field)
    assert errors.events == 1_300
    assert errors.mean == pytest.approx(1 / 1_300)


def test_a_colors_predictions_of_other_outputs_are_no_evidence() -> None:
    """Two outputs then, one now: its scores are not guessed."""
    stored = [replace(batch, scores=np.tile(batch.scores, 2)) for batch in stored_batches()]

    def open_log(_color: Color, deployment: int, _low: int) -> Log:
        return Log(stored, deployment)

    model = Contender(answerer(1, Shifted()), 0, 1, Spent()).part(-1, events(0, 60))
    baseline = AgainstColor("blue", Stored(open_log, 1), [(-1, 1)], 1).take(-1, 59, events(0, 60), model)
    assert baseline.missing["unreadable"].tolist() == list(range(60))
    assert (baseline.silent, len(baseline.comparable()), len(baseline.part)) == (60, 0, 60)


def test_rows_of_events_that_say_nothing_name_the_reason() -> None:
    """The row of an outcome whose event has expired is left out; its neighbours keep their places."""
    model = Contender(answerer(1, Shifted()), 0, 1, Spent()).part(9, events(10, 20))
    told = [(at, 1, "route", in_words(at) if at % 2 else in_json(at)) for at in range(20) if at != 15]
    bounds = Bounds(0, 19, 20, -1)
    streams = outcomes("output", told, bounds), outcomes("dead-letters", [(15, 1, "", GIVEN_UP.encode())], bounds)
    against = AgainstPublished(*streams, Stored(lambda *_: None, 1), lane(20), deployed(), ("p",))
    baseline = against.take(-1, 19, events(10, 20), model)
    rows = rows_of(0, baseline, model, None)
    assert rows.outcomes == ["answer", "unreadable"] * 2 + ["answer", "given-up"] + ["answer", "unreadable"] * 2
    assert rows.against.ok.tolist() == [True, False] * 5
    assert rows.deployments.tolist() == [1] * 5 + [-1] + [1] * 4
    assert baseline.silent == 4
