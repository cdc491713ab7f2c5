"""`ci validate`: a model over what production really saw, judged by the pipeline's own gates; nothing is published."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from streambg.config import Pipeline
from streambg.continuous.gates import cases, contract_case, contract_markdown, markdown, word_of
from streambg.continuous.junit import Case
from streambg.deciding.verdict import Word
from streambg.errors import ConfigError
from streambg.replaying.document import Report
from streambg.replaying.progress import Progress
from streambg.replaying.request import Bound, Request
from streambg.replaying.run import run


@dataclass(frozen=True, slots=True)
class Validated:
    """mismatches: with the contract; where there are any, nothing was replayed. folder: of the whole report."""

    model: str
    mismatches: tuple[str, ...]
    report: Report | None
    folder: Path | None

    @property
    def word(self) -> Word:
        return "abort" if self.report is None else word_of(self.report)

    def cases(self) -> list[Case]:
        """As test cases."""
        if self.report is None:
            return [contract_case(self.mismatches), Case("replay", "skipped", "the contract is not kept")]
        return cases(self.report, self.mismatches)

    def markdown(self) -> str:
        """For a CI job's summary."""
        if self.report is None:
            return contract_markdown(self.model, self.mismatches)
        return markdown(self.report, self.mismatches, str(self.folder))


def validate(
    config: Pipeline, model: str, since_ms: int, folder: Path, progress: Callable[[Progress], None]
) -> Validated:
    """Replay the events since then (ms since 1970) against what was published; the report goes below `folder`.

    Raises ModelError, ConfigError without metrics, and what `replaying.run` raises of ranges and topics.
    """
    gate = config.gate()
    if gate is None or not gate.deciding:
        raise ConfigError(
            f"{config.file} declares no metric that decides", way_out="write `metrics:` with a goal or a guardrail"
        )
    request = Request((model,), begin=Bound(time_ms=since_ms), labels=config.labels is not None)
    report = run(config, request, folder, progress=progress)
    return Validated(model, (), report, folder / report.id)


def write_whole(path: Path, data: bytes) -> None:
    """The file is whole or as it was. Raises ConfigError where it cannot be written."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}", way_out="name a file in a directory that can be written"
        ) from None
    finally:
        part.unlink(missing_ok=True)
