"""The report as one HTML page that needs nothing else: no script, no font, no picture from anywhere. Pure.

The same report gives the same bytes. Its policy (`Content-Security-Policy`) tells browsers to load and run nothing,
whatever stands in a model's name or in an event.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path

from streambg import __version__
from streambg.previewing.preview import gain_words
from streambg.replaying import tables, words
from streambg.replaying.document import Report, Scored, Timing
from streambg.replaying.drawing import charts, latency
from streambg.replaying.markup import document, listed, node, number, table
from streambg.replaying.svg import draw

STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def render(report: Report, timing: Timing | None = None) -> str:
    """The page; with `timing` also how fast this run was, which another run of the same replay would say otherwise."""
    models = [part for at, scored in enumerate(report.models, 1) for part in _model(report, scored, at)]
    body = node(
        "body",
        node("header", node("h1", _title(report)), node("p", *_under_title(report), _class="sub")),
        node("main", _summary(report), *models, *_timing(timing), *_provenance(report)),
        node("footer", f"streambg {__version__}"),
    )
    return document(node("html", _head(report), body, lang="en"))


def _title(report: Report) -> str:
    refs = ", ".join(scored.model.ref for scored in report.models)
    return f"Replay: {refs} against {words.against_words(report.identity.against)}"


def _under_title(report: Report) -> list[ET.Element | str]:
    said = f"Pipeline {report.identity.pipeline}: {words.range_words(report.counts)}. Replay "
    return [said, node("code", report.id[: words.SHORT]), "."]


def _head(report: Report) -> ET.Element:
    return node(
        "head",
        node("meta", charset="utf-8"),
        node("meta", http_equiv="Content-Security-Policy", content=POLICY),
        node("meta", name="viewport", content="width=device-width, initial-scale=1"),
        node("meta", name="color-scheme", content="light dark"),
        # else a browser asks the server that the page came from for one
        node("link", rel="icon", href="data:,"),
        node("title", _title(report)),
        node("style", STYLE),
    )


def _section(name: str, title: str, *parts: ET.Element | None) -> ET.Element:
    return node("section", node("h2", title), *parts, id=name)


# -- for everybody ----------------------------------------------------------------------------------------------------


def _summary(report: Report) -> ET.Element:
    cards = []
    for scored in report.models:
        word = scored.verdict.word
        cards += [
            node(
                "p",
                node("b", word, _class=f"word {word}"),
                " ",
                words.verdict_sentence(report, scored),
                _class="verdict",
            ),
            node("h3", "What changes for whom"),
            listed(words.changes(report, scored)),
            node("h3", "How sure this is"),
            listed(words.certainty(scored)),
        ]
    return _section("summary", "Summary", *cards)


# -- one model --------------------------------------------------------------------------------------------------------


def _model(report: Report, scored: Scored, at: int) -> Iterator[ET.Element]:
    of = f" of {scored.model.ref}" if len(report.models) > 1 else ""
    yield _verdict(scored, at, of)
    drawn = node("div", *(draw(chart) for chart in charts(report, scored, at)), _class="charts")
    yield _section(f"charts-{at}", f"Pictures{of}", drawn)
    yield _metrics(scored, at, of)
    yield _section(f"changes-{at}", f"Who is decided otherwise{of}", *_changes(scored, at))
    yield _section(f"figures-{at}", f"Both sides{of}", node("div", *_figures(report, scored, at), _class="beside"))
    yield _section(f"examples-{at}", f"The strongest examples{of}", *_examples(report, scored, at))
    yield _section(f"proof-{at}", f"Does the replay prove itself?{of}", *_proof(scored, at))


def _verdict(scored: Scored, at: int, of: str) -> ET.Element:
    verdict = scored.verdict
    reasons = node("p", "Verdict: ", node("b", verdict.word, _class=f"word {verdict.word}"), ", because:")
    left_out = [f"{name}: not judged, {why}" for name, why in sorted(verdict.left_out.items())]
    noise = [
        f"{name} of the model against itself is at most {share * 100:.2f} %"
        for name, share in sorted(verdict.noise.items())
    ]
    return _section(
        f"verdict-{at}",
        f"Verdict{of}",
        reasons,
        listed(verdict.reasons, _class="reasons"),
        listed([*left_out, *noise]) if left_out or noise else None,
    )


def _metrics(scored: Scored, at: int, of: str) -> ET.Element:
    return _section(
        f"metrics-{at}",
        f"Tests and metrics{of}",
        table(f"tests-{at}", tables.TESTS, tables.tests(scored)),
        node("p", tables.TESTS_NOTE, _class="note"),
        table(f"metrics-{at}", tables.METRICS, tables.metrics(scored)),
        node("p", tables.METRICS_NOTE, _class="note"),
    )


def _changes(scored: Scored, at: int) -> Iterator[ET.Element]:
    yield node("p", f"If every answer were {scored.model.ref}'s:")
    yield table(f"flips-{at}", tables.CHANGES, map(tables.change, scored.flips))
    if scored.as_if is not None:
        yield node("p", f"At a weight of {scored.as_if.weight / 100:g} %:")
        yield table(f"as-if-{at}", tables.CHANGES, map(tables.change, scored.as_if.changes))
        gained = scored.as_if.gained
        yield listed(gain_words(name, mean) for name, mean in sorted(gained.items()))


def _figures(report: Report, scored: Scored, at: int) -> Iterator[ET.Element]:
    yield table(f"agreement-{at}", ("", "events"), tables.agreement(scored.agreement))
    names = ("", words.against_words(report.identity.against), scored.model.ref)
    yield table(f"sides-{at}", names, tables.sides(scored))
    if scored.reasons:
        head = (f"why {scored.model.ref} has no answer", "events")
        yield table(f"reasons-{at}", head, [(why, number(count)) for why, count in scored.reasons])
    if scored.labels is not None:
        yield table(f"labels-{at}", ("labels", ""), tables.labels(scored.labels))


def _examples(report: Report, scored: Scored, at: int) -> Iterator[ET.Element]:
    if not scored.examples:
        yield node("p", "Both sides gave the same score to every event.")
        return
    head = ("event", "time", "key", words.against_words(report.identity.against), scored.model.ref, "difference", "")
    yield table(f"examples-{at}", (*head, "fields"), map(tables.example, scored.examples))
    yield node("p", "Secrets in the fields are masked, and what the pipeline file says (`replay:`).", _class="note")


def _proof(scored: Scored, at: int) -> Iterator[ET.Element]:
    yield node("p", words.proof_sentence(scored.model.ref, scored.proof))
    if scored.proof.events:
        yield table(f"proof-{at}", ("answers that it published", ""), tables.proof(scored.proof))
    if scored.proof.first:
        yield node("p", "The first that did not come out byte for byte:")
        yield table(f"unlike-{at}", tables.UNLIKE, map(tables.unlike, scored.proof.first))


# -- of the run and of the whole --------------------------------------------------------------------------------------


def _timing(timing: Timing | None) -> Iterator[ET.Element]:
    if timing is None:
        return
    yield _section(
        "timing",
        "This run",
        node("p", words.timing_sentence(timing)),
        table("timing", tables.TIMING, map(tables.timing, timing.models)),
        node("div", draw(latency(timing.models)), _class="charts") if timing.models else None,
    )


def _provenance(report: Report) -> Iterator[ET.Element]:
    came = [(name, number(count)) for name, count in sorted(report.counts.came.items())]
    yield _section(
        "events",
        "Which events",
        table("counts", ("", ""), tables.counts(report.counts)),
        table("came", ("what they came to", "events"), came) if came else None,
        table("answering", tables.ANSWERING, map(tables.answering, report.counts.answering))
        if report.counts.answering
        else None,
        *_holes(report),
    )
    yield _section(
        "provenance",
        "Where this comes from",
        table("identity", ("", ""), tables.identity(report)),
        node("p", "The id is the SHA-256 of all that is named here; the same id gives the same report.", _class="note"),
        table("topics", tables.TOPICS, map(tables.topic, report.identity.topics)),
    )


def _holes(report: Report) -> Sequence[ET.Element]:
    holes = report.counts.holes
    if not holes:
        return [node("p", "Every source offset of the range was there and compared.")]
    return [node("p", "Not compared:"), table("holes", tables.HOLES, map(tables.hole, holes))]
