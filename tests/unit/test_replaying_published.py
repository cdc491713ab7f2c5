"""`streambg replay`: what was published, and whose it is, from planted topics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from replays import Shifted, answerer, events, lane, nothing

from streambg.audit.parsing import HeaderParser, LetterParser
from streambg.audit.sources import Chunk, Role
from streambg.audit.stream import Bounds, Stream
from streambg.audit.tally import Tally
from streambg.comparing.pairing import Rows, match
from streambg.comparing.side import Place as Place_
from streambg.records.batch import Batch, encode
from streambg.records.coverage import Coverage
from streambg.records.outcome import DeadLetter, encode_dead_letter, header_template
from streambg.records.source import Color, Source
from streambg.replaying.against import AgainstPublished
from streambg.replaying.contender import Contender, Spent
from streambg.replaying.plan import Deployed
from streambg.replaying.proof import Count, Prover
from streambg.replaying.stored import Stored


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


def outcomes(role: Role, records: Sequence[tuple[int, int, str, bytes]]) -> Stream:
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
    bounds = Bounds(10, 150, 200, -1)
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
