"""What another weight would change, against a count by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pairs import BLUE, FOLDED, GREEN, PAIR, Answer, batch

from streambg.comparing.pair import Terms
from streambg.comparing.pairing import Pairing
from streambg.comparing.side import Place
from streambg.deciding.kinds import Sheet
from streambg.previewing.preview import Counts, Preview, Question, add, total
from streambg.records.bucket import bucket
from streambg.records.coverage import Coverage
from streambg.records.gate import Gate, Metric
from streambg.records.source import COLORS, Color

ERRORS = Metric("errors", "error_rate", "guardrail", 0.0, 1.0, "lower", False, margin=0.01, abort_margin=0.005)
COST = Metric("cost", "kpi:cost", "diagnostic", 0.0, 10.0, "lower", False)
GATE = Gate((ERRORS, COST), {"event_id": ("e0", "e1")}, 0.05, 0.01, 0.999, 0.95, carried=("event_id",))
ASKED = Question("events", "blue", 0, 5_000, GREEN, None, False)


def cost(sheet: Sheet) -> object:
    return sheet.scores[:, 0] * 10


TERMS = Terms(1, 0, 0.5, GATE, {"kpi:cost": cost})  # type: ignore[dict-item] # it answers an array


def counted(question: Question, blue: dict[int, Answer], green: dict[int, Answer], terms: Terms = TERMS) -> Preview:
    places = {
        "blue": Place(0, Coverage(BLUE, -1)),
        "green": Place(0, Coverage(GREEN, -1)),
    }
    pairing = Pairing(PAIR, terms, places, -1)  # type: ignore[arg-type] # the two colors
    end = max([*blue, *green, 0])
    for color, deployment, answers in (("blue", BLUE, blue), ("green", GREEN, green)):
        pairing.sides[color].control(FOLDED)  # type: ignore[index] # one of the two colors
        pairing.sides[color].offer(0, 1, batch(deployment, -1, end, answers))  # type: ignore[index] # as above
    found = Preview()
    while (rows := pairing.take()) is not None:
        add(found, question, 0, rows, terms, terms.gate)
        pairing.retire(rows.high, pairing.compared, -1)
    return found


def by_hand(question: Question, blue: dict[int, Answer], green: dict[int, Answer], offsets: set[int]) -> Counts:
    """The same without arrays and without the publisher's table."""
    answers: dict[Color, dict[int, Answer]] = {"blue": blue, "green": green}
    counts = Counts()

    def published(offset: int, weight: int) -> Color | None:
        chosen: Color = question.live
        if bucket(question.salt, f"k{offset % 5}".encode()) < weight:
            chosen = question.candidate
        if answers[chosen][offset].score is not None:
            return chosen
        stand_in = question.live if chosen != question.live else question.candidate
        may = chosen != question.live or (question.live_failed and weight > 0)
        return stand_in if may and answers[stand_in][offset].score is not None else None

    for offset in offsets & blue.keys() & green.keys():
        now, then = published(offset, question.now), published(offset, question.weight)
        counts.events += 1
        counts.letters_now += now is None
        counts.letters_then += then is None
        counts.candidate_now += now == question.candidate
        counts.candidate_then += then == question.candidate
        if now is None or then is None:
            counts.changed += now != then
            continue
        before, after = answers[now][offset], answers[then][offset]
        counts.changed += before.value != after.value
        assert before.score is not None
        assert after.score is not None
        counts.to_yes += before.score < 0.5 <= after.score
        counts.to_no += after.score < 0.5 <= before.score
    return counts


answer = st.builds(
    Answer,
    st.one_of(st.none(), st.sampled_from([0.1, 0.4, 0.5, 0.9])),
    st.sampled_from([b"yes", b"no"]),
)
some = st.dictionaries(st.integers(0, 40), answer, max_size=30)


@given(some, some, st.sampled_from(COLORS), st.integers(0, 10_000), st.integers(0, 10_000), st.booleans())
def test_the_counts_are_those_of_a_count_by_hand(
    blue: dict[int, Answer], green: dict[int, Answer], live: Color, now: int, weight: int, live_failed: bool
) -> None:
    question = replace(ASKED, live=live, now=now, weight=weight, live_failed=live_failed)
    found = counted(question, blue, green)
    assert found.whole == by_hand(question, blue, green, set(range(41)))
    for value, offset in (("e0", 0), ("e1", 1)):
        assert found.segments.get(("event_id", value), Counts()) == by_hand(question, blue, green, {offset})
    sums = total([Preview(segments={place: counts}) for place, counts in found.segments.items()])
    assert sums.whole == Counts()


def test_metrics_say_what_would_be_gained() -> None:
    blue = {offset: Answer(0.9 if offset % 2 else None) for offset in range(20)}
    green = {offset: Answer(0.4) for offset in range(20)}
    found = counted(replace(ASKED, weight=10_000), blue, green)
    assert found.gained["errors"] == pytest.approx(10)  # half of live's answers are errors
    # an error row costs the worst there is
    assert found.gained["cost"] == pytest.approx(10 * (0.9 - 0.4) + 10 * (1.0 - 0.4), abs=1e-4)
    nothing = counted(replace(ASKED, weight=0), blue, green)
    assert nothing.gained == {"errors": 0.0, "cost": 0.0}
    assert nothing.whole.changed == 0


def test_a_function_that_fails_is_said_and_the_rest_is_counted() -> None:
    def broken(_sheet: Sheet) -> object:
        raise KeyError("price")

    terms = replace(TERMS, hooks={"kpi:cost": broken})
    rows = {offset: Answer(0.9) for offset in range(5)}
    found = counted(replace(ASKED, weight=10_000), rows, rows, terms)
    assert "KeyError" in found.failed["cost"]
    assert found.whole.events == 5


def test_the_json_names_everything() -> None:
    plain = counted(ASKED, {1: Answer(0.9)}, {1: Answer(0.1)}).as_json()
    assert plain["events"] == 1
    assert {segment["value"] for segment in plain["segments"]} == {"e0", "e1", "other"}
