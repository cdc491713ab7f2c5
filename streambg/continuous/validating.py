"""`ci validate`: a model over what production really saw, judged by the pipeline's own gates; nothing is published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from streambg.config import Pipeline
from streambg.continuous.gates import cases, contract_case, contract_markdown, markdown, word_of
from streambg.continuous.junit import Case
from streambg.control.contract import contract
from streambg.deciding.verdict import EXIT, Word
from streambg.errors import ConfigError, ContractChanged
from streambg.replaying.document import Report
from streambg.replaying.pins import NoLabels
from streambg.replaying.request import Bound, Request
from streambg.replaying.run import Told, run


@dataclass(frozen=True, slots=True)
class Wanted:
    """since_ms: ms since 1970. accepts_change: go on although the contract is not kept. folder: of all reports.

    workers: processes over partitions; rate: events a second at the most.
    """

    model: str
    since_ms: int
    folder: Path
    accepts_change: bool = False
    workers: int = 1
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Validated:
    """mismatches: with the contract. report: None where they were not accepted: then nothing was replayed.

    folder: of the whole report. unlabelled: why it was judged without labels, though the pipeline has some declared.
    """

    model: str
    mismatches: tuple[str, ...]
    report: Report | None
    folder: Path | None
    unlabelled: str = ""

    @property
    def word(self) -> Word:
        """A model that does not keep the contract is not judged."""
        return "inconclusive" if self.report is None else word_of(self.report)

    @property
    def exit_code(self) -> int:
        return ContractChanged.exit_code if self.report is None else EXIT[self.word]

    def cases(self) -> list[Case]:
        """As test cases."""
        if self.report is None:
            return [contract_case(self.mismatches), Case("replay", "skipped", "the contract is not kept")]
        return cases(self.report, self.mismatches, self.unlabelled)

    def as_json(self) -> dict[str, Any]:
        """The gates; everything else is in the report."""
        return {
            "model": self.model,
            "word": self.word,
            "exit_code": self.exit_code,
            "contract": list(self.mismatches),
            "unlabelled": self.unlabelled,
            "replay": self.report.id if self.report else None,
            "report": str(self.folder) if self.folder else None,
            "gates": [asdict(case) for case in self.cases()],
        }

    def markdown(self) -> str:
        """For a CI job's summary."""
        if self.report is None:
            return contract_markdown(self.model, self.mismatches)
        return markdown(self.report, self.mismatches, str(self.folder), self.unlabelled)


def validate(config: Pipeline, wanted: Wanted, progress: Told, stopping: Callable[[], bool]) -> Validated:
    """Replay the events since then against what was published; without labels where none of the range has come.

    Raises ModelError, ConfigError without metrics, and what `replaying.run` raises of ranges, topics and interruption.
    """
    gate = config.gate()
    if gate is None or not gate.deciding:
        raise ConfigError(
            f"{config.file} declares no metric that decides", way_out="write `metrics:` with a goal or a guardrail"
        )
    mismatches = tuple(contract(config, wanted.model).record())
    if mismatches and not wanted.accepts_change:
        return Validated(wanted.model, mismatches, None, None)
    request = Request(
        (wanted.model,),
        begin=Bound(time_ms=wanted.since_ms),
        rate=wanted.rate,
        workers=wanted.workers,
        labels=config.labels is not None,
    )
    unlabelled = ""
    try:
        report = run(config, request, wanted.folder, progress=progress, stopping=stopping)
    except NoLabels as error:
        # what needs none can be judged, such as harm; what needs them stays open, so nobody says promote
        unlabelled = f"judged without labels: {error.what}"
        report = run(config, replace(request, labels=False), wanted.folder, progress=progress, stopping=stopping)
    return Validated(wanted.model, mismatches, report, wanted.folder / report.id, unlabelled)
