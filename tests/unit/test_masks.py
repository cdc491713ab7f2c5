"""What the report of a replay shows of events: by the pipeline file (`replay:`), and by name."""

from __future__ import annotations

from dataclasses import replace

import pytest
from replay_documents import REPORT, SCORED
from replays import QUESTION, TERMS, Shifted, answerer, events, lane, nothing

from streambg.config.masks import Masks
from streambg.replaying import state as states
from streambg.replaying.against import AgainstModel
from streambg.replaying.contender import Contender, Spent
from streambg.replaying.document import encode
from streambg.replaying.examples import examples_of
from streambg.replaying.html import render
from streambg.replaying.partition import Candidate, PartitionReplay, Rule

CARD, IBAN, TOKEN = "4111-1111", "DE02-1203", "t0ken-value"
NAMES = ["f", "id", "card", "iban", "holder", "token"]


def shown(masks: Masks, *, gone: bool = False) -> str:
    """`report.json` and `report.html` of a replay whose events hold all of that; their keys are k0 ... k6."""
    state = states.begun(lane(500), TERMS, 1)
    contender = Contender(answerer(1, Shifted(0.2)), 0, 1, state.models[0].spent)
    against = AgainstModel(Contender(answerer(0, Shifted()), 0, 1, Spent()))
    replay = PartitionReplay(state, [Candidate(contender, None)], against, Rule(TERMS, QUESTION, None), None, nothing)
    replay.step(events(0, 500), 499)

    def look(_partition: int, offset: int) -> dict[str, object] | str:
        holder = {"name": "Ada", "iban": IBAN}
        event = {"f": 0.5, "id": offset, "card": CARD, "iban": IBAN, "holder": holder, "token": TOKEN, "customer": ""}
        return "the event has expired meanwhile" if gone else {**event, "phone": f"k{offset % 7}"}

    found = examples_of([state], 0, 0.5, "in", [*NAMES, "phone"], look, masks)
    assert len(found) == 20
    report = replace(REPORT, models=(replace(SCORED, examples=found),))
    return encode(report).decode() + render(report)


def test_what_looks_like_a_secret_is_masked_and_the_rest_is_shown_unless_the_file_says_otherwise() -> None:
    default = shown(Masks())
    assert TOKEN not in default
    for text in (CARD, IBAN, "Ada", ">k1<", '"key": "k1"', '\\"p\\":'):
        assert text in default
    masked = shown(Masks(mask=("card", "iban")))
    assert CARD not in masked
    assert IBAN not in masked, "inside of another field, too"
    assert "Ada" in masked
    assert ">k1<" in masked
    assert TOKEN in shown(Masks(show=("token",)))


def test_the_key_and_both_values_are_masked_by_rule() -> None:
    masked = shown(Masks(key=True, values=True))
    for text in (">k1<", '"key": "k', '\\"p\\":'):
        assert text not in masked
    assert CARD in masked
    by_value = shown(Masks(mask=("phone",)))
    assert ">k1<" not in by_value, "the key is the value of a masked field"
    assert '"key": "k' not in by_value
    assert '"key": "k' not in shown(Masks(mask=("card",)), gone=True), "nobody knows any more what the key is"
    assert '"key": "k1"' in shown(Masks(), gone=True)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b'{"p": 0.5, "card": "4111"}', '{"p":0.5,"card":"***"}'),
        (b'{"p": 0.5, "of": [{"card": ""}], "token": "t"}', '{"p":0.5,"of":[{"card":"***"}],"token":"***"}'),
        (b'{"p":  0.5}', '{"p":  0.5}'),
        (b"ALARM", "ALARM"),
        (b"\xff", "\ufffd"),
    ],
)
def test_published_values_are_masked_by_the_same_names(value: bytes, says: str) -> None:
    assert Masks(mask=("card",)).value_of(value) == says
    assert Masks(values=True).value_of(value) == "***"


def test_other_masks_are_another_replay() -> None:
    words = [
        Masks(*each).words for each in ((), (("a", "b"),), ((), ("a",)), (("a",), (), True), ((), (), False, True))
    ]
    assert words == ["", "mask a, b", "show a", "mask a; mask the key", "mask the values"]
    assert Masks(("b", "a")).words == Masks(("a", "b")).words
