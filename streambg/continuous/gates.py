"""A replay's report as gates: each one a test case, all of it as Markdown for a CI job's summary. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streambg.continuous.junit import Case, Result
from streambg.deciding.verdict import Test, Word, evidence_words
from streambg.replaying.document import Report, Scored
from streambg.replaying.found import Changes, Example, Proof
from streambg.replaying.recorded import Counts

# A summary is read beside a pull request: what is furthest out, not everything; GitHub cuts a step's at 1 MiB.
MAX_EXAMPLES, MAX_SEGMENTS, MAX_HOLES = 5, 20, 10
MAX_CELL = 120
_RESULT: dict[Word, Result] = {"promote": "passed", "abort": "failed", "continue": "error", "inconclusive": "error"}


def word_of(report: Report) -> Word:
    """The verdict; a replay that does not give production's own answers again has shown nothing."""
    scored = report.models[0]
    believed = not scored.proof.different or scored.verdict.word == "abort"
    return scored.verdict.word if believed else "inconclusive"


def cases(report: Report, contract: Sequence[str] = (), unlabelled: str = "") -> list[Case]:
    """contract, proof, everything that stands in the way, each metric and segment, the verdict; of the first model.

    unlabelled: why it was judged without labels.
    """
    scored = report.models[0]
    found = [contract_case(contract, accepted=True), _proof_case(scored.proof)]
    found += [Case("coverage", "error" if scored.verdict.blocked else "passed", "; ".join(scored.verdict.blocked))]
    if open_labels := [*filter(None, [unlabelled]), *scored.verdict.blocked_labels]:
        # where no metric that decides needs them, nothing waits for them
        found.append(Case("labels", "error" if scored.verdict.blocked_labels else "skipped", "; ".join(open_labels)))
    found += [Case(f"metric {test.name}", _result(test), _said(test)) for test in scored.verdict.tests]
    found += [Case(f"metric {name}", "skipped", why) for name, why in scored.verdict.left_out.items()]
    found.append(Case("verdict", _RESULT[scored.verdict.word], "; ".join(scored.verdict.reasons)))
    return found


def contract_case(mismatches: Sequence[str], accepted: bool = False) -> Case:
    """Does the model fit what the pipeline and the live model do? accepted: somebody said that it need not."""
    why = f"{'accepted: ' if accepted and mismatches else ''}{'; '.join(mismatches)}"
    return Case("contract", "passed" if accepted or not mismatches else "failed", why)


def _proof_case(proof: Proof) -> Case:
    """Of a model that was live in the range: does the replay give its published answers again?"""
    if proof.word == "not live here":
        return Case("replay reproduces production", "skipped", "this model published nothing in the range")
    said = f"{proof.reproduced:,} reproduced, {proof.close:,} within 1e-6, {proof.different:,} different"
    return Case("replay reproduces production", "failed" if proof.different else "passed", said)


def _result(test: Test) -> Result:
    """Undecided is no pass: nobody could judge."""
    if test.harms:
        return "failed"
    return "passed" if test.good or not test.required else "error"


def _said(test: Test) -> str:
    mean = "unknown" if test.mean is None else f"{test.mean * 100:+.3f} points"
    good, harm = evidence_words(test.log_good, test.needed_good), evidence_words(test.log_harm, test.needed_harm)
    return f"mean {mean} over {test.events:,} events; {good}; of harm: {harm}"


def markdown(report: Report, contract: Sequence[str], folder: str, unlabelled: str = "") -> str:
    """folder: where the whole report is. unlabelled: why it was judged without labels."""
    scored = report.models[0]
    flipped = scored.agreement.flips_to_yes + scored.agreement.flips_to_no
    compared = f"{report.counts.events:,} events, coverage {scored.verdict.coverage:.2%}, {flipped:,} decisions flipped"
    gates = ((case.name, case.result, case.why) for case in cases(report, contract, unlabelled))
    parts = [
        f"### {_cell(scored.model.ref)}: {word_of(report)}",
        f"Replay of {_cell(report.identity.pipeline)} against {_cell(report.identity.against)}: {compared}.",
        *(f"- {_cell(reason)}" for reason in (unlabelled, *scored.verdict.reasons) if reason),
        _table(("gate", "", "what was found"), gates),
        *_changes(scored),
        *_holes(report.counts),
        *_examples(scored.examples),
        f"Replay `{report.id}`, model `{scored.model.digest}`. The whole report: `{folder}`.",
    ]
    return _joined(parts)


def contract_markdown(model: str, mismatches: Sequence[str]) -> str:
    """Where the contract is not kept there is no replay."""
    return _joined([f"### {_cell(model)}: it does not keep the contract", *(f"- {_cell(each)}" for each in mismatches)])


def _changes(scored: Scored) -> Iterator[str]:
    rows = [each for each in scored.flips if each.to_yes or each.to_no]
    if not rows:
        return
    rows.sort(key=lambda each: (each.field != "", -(each.to_yes + each.to_no)))
    yield "What changes for whom:"
    yield _table(("who", "events", "to yes", "to no"), (_change(each) for each in rows[:MAX_SEGMENTS]))


def _change(each: Changes) -> tuple[str, ...]:
    who = f"{each.field}={each.value}" if each.field else "all"
    return who, f"{each.events:,}", f"{each.to_yes:,}", f"{each.to_no:,}"


def _holes(counts: Counts) -> Iterator[str]:
    if not counts.holes:
        return
    yield "Not compared:"
    for hole in counts.holes[:MAX_HOLES]:
        yield f"- partition {hole.partition}, [{hole.first}, {hole.end}): {hole.offsets:,} offsets: {_cell(hole.what)}"
    if len(counts.holes) > MAX_HOLES:
        yield f"- and {len(counts.holes) - MAX_HOLES} more"


def _examples(examples: Sequence[Example]) -> Iterator[str]:
    if not examples:
        return
    yield "The events that differ most:"
    yield _table(
        ("event", "production", "this model"),
        ((each.source, each.against.value, each.model.value) for each in examples[:MAX_EXAMPLES]),
    )


def _table(head: Sequence[str], rows: Iterator[tuple[str, ...]] | Iterator[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    """Plain text in a table of Markdown, whatever stands in the event that it came from."""
    short = text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 1]}…"
    one_line = " ".join(short.split())
    return "".join(f"\\{letter}" if letter in "\\`|*_<>[]#" else letter for letter in one_line)


def _joined(parts: Sequence[str]) -> str:
    """Paragraphs apart, items of a list together."""
    text = ""
    for at, part in enumerate(parts):
        follows = at > 0 and part.startswith("- ") and parts[at - 1].startswith("- ")
        text += ("\n" if follows else "\n\n" if at else "") + part
    return text + "\n"
