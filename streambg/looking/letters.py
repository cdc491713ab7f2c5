"""Dead letters: counted, listed, and exported with the bytes of their events, which stay in the input (P17)."""

from __future__ import annotations

import heapq
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streambg.config import Pipeline
from streambg.errors import ConfigError, Gap
from streambg.kafka.reading import LogReader, Record, record_of
from streambg.looking.event import Letter
from streambg.looking.logs import parse_letter
from streambg.looking.words import as_fields, show_time
from streambg.records.outcome import DeadLetter

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Found:
    """letters: the newest, oldest first; counts: all since the time asked for, by the chosen color and its reason."""

    letters: tuple[Letter, ...]
    counts: Counter[tuple[str, str]]
    foreign: int  # records that are no dead letters of ours


@dataclass(slots=True)
class _Newest:
    """Keeps the newest letters; a heap with the oldest kept first."""

    last: int
    heap: list[tuple[int, int, int, Letter]] = field(default_factory=list)

    def add(self, partition: int, letter: Letter) -> None:
        entry = (letter.time_ms, partition, letter.offset, letter)
        if len(self.heap) < self.last:
            heapq.heappush(self.heap, entry)
        else:
            heapq.heappushpop(self.heap, entry)


def find(log: LogReader, pipeline: Pipeline, partitions: int, since_ms: int, last: int, progress: Progress) -> Found:
    """The newest `last` letters written since a time, and counts of all since then."""
    newest, counts, foreign = _Newest(last), Counter[tuple[str, str]](), 0
    for number, record in _records(log, pipeline, partitions, since_ms, progress):
        letter = parse_letter(record)
        if letter is None:
            foreign += 1
            continue
        said = letter.letter
        counts[said.chosen, said.reasons.get(said.chosen, "none")] += 1
        newest.add(number, letter)
    return Found(tuple(entry[-1] for entry in sorted(newest.heap)), counts, foreign)


def _records(
    log: LogReader, pipeline: Pipeline, partitions: int, since_ms: int, progress: Progress
) -> Iterator[tuple[int, Record]]:
    """(partition, record) of the dead letters since a time, one partition after the other."""
    topic = pipeline.topics.dead_letters
    ranges = [(log.since(topic, number, since_ms), log.ends(topic, number)[1]) for number in range(partitions)]
    total, looked = sum(end - start for start, end in ranges), 0
    for number, (start, end) in enumerate(ranges):
        for messages in log.read(topic, number, start, end):
            for message in messages:
                yield number, record_of(message)
            looked += len(messages)
            progress(looked, total)


class Events:
    """The input's records, asked for in ascending order: neighbors come from what was fetched already.

    floors: by partition, letters below this epoch are about an earlier input topic of the same name (P25).
    """

    def __init__(self, log: LogReader, topic: str, floors: Mapping[int, int]) -> None:
        self._log, self._topic, self._floors = log, topic, floors

    def fields(self, letter: DeadLetter) -> dict[str, Any]:
        """`{"value": text}`, `{"value_base64": ...}`, or `{"value": null, "gone": why}`."""
        source = letter.source
        if letter.epoch < self._floors.get(source.partition, -1):
            return _gone("the input topic was made again since; its offsets mean other events now")
        try:
            record = self._log.at(self._topic, source.partition, source.offset)
        except Gap:
            first, end = self._log.ends(self._topic, source.partition)
            return _gone(f"the input's partition holds {first} to {end - 1} now: expired by retention")
        if record is None or record.offset != source.offset:
            return _gone("not in the input: removed by compaction, or never there")
        return {**as_fields("value", record.value), "time": show_time(record.time_ms)}


def _gone(why: str) -> dict[str, Any]:
    return {"value": None, "gone": why}


def line(letter: Letter, event: dict[str, Any]) -> dict[str, Any]:
    """One line of an export."""
    said = letter.letter
    return {
        "source": str(said.source),
        "written": show_time(letter.time_ms),
        "epoch": said.epoch,
        "chosen": said.chosen,
        "reasons": dict(said.reasons),
        **as_fields("key", letter.key),
        **event,
    }


def check_free(path: Path, replace: bool) -> None:
    """Raises ConfigError where the file exists and `replace` is not said."""
    if path.exists() and not replace:
        raise ConfigError(f"{path} exists", way_out="another name, or --replace")


def export(
    path: Path,
    letters: LogReader,
    events: Events,
    pipeline: Pipeline,
    partitions: int,
    since_ms: int,
    progress: Progress,
    *,
    replace: bool,
) -> tuple[int, int]:
    """Write one JSON line a letter; (letters, those whose event is gone). The file is whole or it is not there.

    Raises ConfigError where the file exists (and `replace` is not said) or cannot be written.
    """
    check_free(path, replace)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    written = gone = 0
    try:
        with part.open("w", encoding="utf-8") as stream:
            for _, record in _records(letters, pipeline, partitions, since_ms, progress):
                letter = parse_letter(record)
                if letter is None:
                    continue
                event = events.fields(letter.letter)
                stream.write(json.dumps(line(letter, event), ensure_ascii=False) + "\n")
                written += 1
                gone += "gone" in event
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}", way_out="name a file in a directory that can be written"
        ) from None
    finally:
        part.unlink(missing_ok=True)
    return written, gone
