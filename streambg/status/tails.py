"""The last outcomes, as a read_committed reader finds them."""

from __future__ import annotations

from confluent_kafka import Message

from streambg.config import Pipeline
from streambg.kafka.looking import Look
from streambg.records.outcome import DeadLetter, decode_dead_letter, find_header, parse_header
from streambg.status.figures import Outcomes, tally

# The last offsets of each partition, transaction markers among them: some 100 kB of JSON answers a partition. Dead
# letters are rare and small, so that mostly all of them are counted.
LAST_OUTCOMES = 500
LAST_LETTERS = 1_000


def read_outcomes(pipeline: Pipeline, look: Look, numbers: range) -> Outcomes:
    """Raises Unreachable."""
    published, complete = _last(look, pipeline.topics.output, numbers, LAST_OUTCOMES)
    letters, letters_complete = _last(look, pipeline.topics.dead_letters, numbers, LAST_LETTERS)
    letters.sort(key=lambda message: message.timestamp()[1])
    return tally(
        [_outcome(message) for message in published],
        complete,
        [_letter(message) for message in letters],
        letters_complete,
    )


def _last(look: Look, topic: str, numbers: range, count: int) -> tuple[list[Message], bool]:
    """The last records of every partition, and whether they are all there are."""
    ranges = {number: look.ends(topic, number) for number in numbers}
    starts = {(topic, number): max(low, end - count) for number, (low, end) in ranges.items()}
    messages = [message for each in look.read_on(starts).values() for message in each]
    return messages, all(starts[topic, number] == low for number, (low, _) in ranges.items())


def _outcome(message: Message) -> tuple[str, str] | None:
    try:
        outcome = parse_header(find_header(message.headers()) or b"")  # type: ignore[arg-type] # a list of pairs
    except ValueError:
        return None
    return outcome.color, outcome.why


def _letter(message: Message) -> DeadLetter | None:
    try:
        return decode_dead_letter(message.value() or b"")
    except ValueError:
        return None
