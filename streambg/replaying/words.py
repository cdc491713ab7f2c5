"""A replay's report in sentences: for the page's summary, for terminals, for CI. Pure."""

from __future__ import annotations

from math import exp

from streambg.deciding.verdict import Test
from streambg.printing import moment
from streambg.records.source import COLORS
from streambg.replaying.document import Report, Scored, Timing
from streambg.replaying.found import Changes, Proof
from streambg.replaying.recorded import Counts

# Of a replay's id and of digests: what tells thousands apart.
SHORT = 12


def against_words(against: str) -> str:
    """What a model was compared with."""
    if against == "published":
        return "what was published"
    return f"{against}'s stored answers" if against in COLORS else against


def percent(part: float, whole: float) -> str:
    """Two decimals; what is not all is never called 100 %, what is something never 0 %."""
    if not whole:
        return "\u2013"
    share = 100 * part / whole
    if share > 99.99 and part < whole:
        return "> 99.99 %"
    return "< 0.01 %" if 0 < share < 0.01 else f"{share:.2f} %"


def points(share: float) -> str:
    """A share of a metric's range, in hundredths of it."""
    return f"{share * 100:+.2f} points"


def time_words(time_ms: int | None) -> str:
    """UTC, to the second."""
    if time_ms is None:
        return "\u2013"
    return moment(time_ms)


def range_words(counts: Counts) -> str:
    """How much was read."""
    if counts.first_ms is None:
        return "no events"
    when = f"{time_words(counts.first_ms)} to {time_words(counts.last_ms)}"
    return f"{counts.events:,} events of {counts.partitions} partitions, {when}"


def timing_sentence(timing: Timing) -> str:
    """How fast a run was."""
    workers = f"{timing.workers} workers" if timing.workers > 1 else "one worker"
    return (
        f"{timing.events:,} events in {timing.seconds:,.1f} s, {timing.events_per_second:,.0f} a second, by {workers}, "
        f"begun {time_words(timing.started_ms)}."
    )


def segment_words(field: str, value: str) -> str:
    """A segment, or all events."""
    return f"{field}={value}" if field else "all events"


def verdict_sentence(report: Report, scored: Scored) -> str:
    """The verdict as one sentence."""
    verdict, ref, against = scored.verdict, scored.model.ref, against_words(report.identity.against)
    if verdict.word == "promote":
        return f"{ref} may go live: on {verdict.events:,} events it proved good enough against {against}."
    if verdict.word == "abort":
        return f"{ref} must not go live: {_harm(verdict.tests)}."
    if verdict.ready:
        return f"{ref} proved good enough against {against} on {verdict.events:,} events; only a person may promote it."
    required = [test for test in verdict.tests if test.required]
    good = sum(test.good for test in required)
    left = f"{good} of {len(required)} required tests passed on {verdict.events:,} events, and no harm was found"
    if verdict.word == "inconclusive":
        return f"No decision about {ref}: {left}, though there were as many events as were allowed."
    return f"Not decided: {ref} is not proved good enough against {against} yet; {left}."


def _harm(tests: tuple[Test, ...]) -> str:
    harms = [test for test in tests if test.harms]
    if not harms:
        return "it leaves out too many events to be judged"
    worst = max(harms, key=lambda test: test.log_harm - test.needed_harm)
    much = f" is worse by {abs(worst.mean) * 100:.2f} points of its range" if worst.mean is not None else ""
    more = f", and {len(harms) - 1} more" if len(harms) > 1 else ""
    return f"it does harm: {worst.name}{much}{more}"


# -- what changes for whom --------------------------------------------------------------------------------------------


def changes(report: Report, scored: Scored) -> list[str]:
    """What is decided otherwise, where most, who gets no answer, and what a weight would publish."""
    found = [_decisions(report, scored), *_where(scored), *_errors(scored)]
    if scored.as_if is not None:
        found += [
            f"Published at a weight of {scored.as_if.weight / 100:g} %, {each.changed:,} of {each.events:,} answers "
            f"would be others ({percent(each.changed, each.events)}); {scored.model.ref} would give {each.by_model:,}."
            for each in scored.as_if.changes
            if not each.field
        ]
    return found


def _decisions(report: Report, scored: Scored) -> str:
    both = scored.agreement
    if not both.compared:
        return "No event was answered by both sides."
    differ = both.compared - both.agree
    share = percent(differ, both.compared)
    of = f"Of {both.compared:,} events that both sides answered"
    if report.threshold is None:
        return f"{of}, {differ:,} have another score ({share})."
    turned = f"{both.flips_to_yes:,} become yes, {both.flips_to_no:,} become no"
    return f"{of}, {differ:,} decisions turn ({share}): {turned}."


def _turned(change: Changes) -> int:
    return change.to_yes + change.to_no


def _where(scored: Scored) -> list[str]:
    """The segments where most and least turns; the first of equals."""
    segments = [change for change in scored.flips if change.field and change.events]
    if len(segments) < 2 or not any(map(_turned, segments)):
        return []
    by_share = sorted(segments, key=lambda change: -_turned(change) / change.events)
    most, least = (
        f"{segment_words(each.field, each.value)} ({percent(_turned(each), each.events)} of {each.events:,} events)"
        for each in (by_share[0], by_share[-1])
    )
    return [f"Most decisions turn in {most}, fewest in {least}."]


def _errors(scored: Scored) -> list[str]:
    both, ref = scored.agreement, scored.model.ref
    said = (
        (both.errors_model, f"{ref} has no answer to {both.errors_model:,} events that were answered without it."),
        (both.errors_against, f"{ref} answers {both.errors_against:,} events that had no answer."),
        (both.errors_both, f"{both.errors_both:,} events have no answer on either side."),
    )
    return [text for events, text in said if events]


# -- how sure ---------------------------------------------------------------------------------------------------------


def certainty(scored: Scored) -> list[str]:
    """What the word can be trusted for, on how much, and whether the replay proved itself."""
    verdict = scored.verdict
    found = [*_chance(scored), f"{coverage_words(verdict.coverage)} of the owed events were compared."]
    if scored.labels is not None:
        there, owed = scored.labels.there, scored.labels.owed
        found.append(f"{there:,} of {owed:,} events that should have their label have it ({percent(there, owed)}).")
    found += [f"Not judged here: {name}, {why}." for name, why in sorted(verdict.left_out.items())]
    return [*found, proof_sentence(scored.model.ref, scored.proof)]


def coverage_words(share: float) -> str:
    """Down to a hundredth of a percent: what is missing is never rounded away."""
    return f"{int(share * 10_000) / 100:.2f} %"


def _chance(scored: Scored) -> list[str]:
    """The alphas stand in the tests: what each must reach is its share of them."""
    tests, ref = scored.verdict.tests, scored.model.ref
    required = [test for test in tests if test.required]
    if (scored.verdict.word == "promote" or scored.verdict.ready) and required:
        alpha = len(required) * exp(-required[0].needed_good)
        return [
            f"If {ref} were worse than a margin, it would get this far with a chance of {alpha * 100:.2g} % at most."
        ]
    if any(test.harms for test in tests):
        alpha = sum(exp(-test.needed_harm) for test in tests)
        return [f"If {ref} did no harm, it would be called harmful with a chance of {alpha * 100:.2g} % at most."]
    return []


def proof_sentence(ref: str, proof: Proof) -> str:
    """Does the replay give again what this very model published?"""
    if proof.word == "not live here":
        other = f" ({proof.other_rules:,} answers of it went out under other rules)" if proof.other_rules else ""
        return f"{ref} was not live in this range: there is nothing to reproduce{other}."
    owed = proof.events - proof.other_rules
    if proof.word == "reproduced":
        return f"The replay proved itself: all {owed:,} answers that {ref} published came out again, byte for byte."
    if proof.word == "close":
        return (
            f"{proof.reproduced:,} of {owed:,} answers that {ref} published came out again byte for byte, the other "
            f"{proof.close:,} within 1e-6: the borders of their batches are no longer recorded."
        )
    return (
        f"{proof.different:,} of {owed:,} answers that this very {ref} published come out otherwise: "
        "do not trust this replay before that is explained."
    )
