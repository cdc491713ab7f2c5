"""The rows of the page's tables. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from streambg.deciding.verdict import Test, show_e
from streambg.replaying.document import Latency, Report, Scored
from streambg.replaying.found import Agreement, Answer, Changes, Example, Labelled, MetricRow, Proof, Side, Unlike
from streambg.replaying.markup import Part, node, number
from streambg.replaying.recorded import Answering, Counts, Hole, TopicRange
from streambg.replaying.words import coverage_words, percent, points, segment_words, time_words

Row = Sequence[Part]

TESTS = ("metric", "where", "events", "mean", "evidence: good enough", "of", "evidence: harm", "of", "says")
TESTS_NOTE = (
    "The mean is of the differences, in hundredths of the metric's range; above 0 the model is better. Evidence (an "
    "e-value) that reaches its limit is enough."
)
METRICS = ("metric", "kind", "role", "where", "events", "mean", "from", "to", "margin", "harm beyond", "failed")
METRICS_NOTE = (
    "From and to: the mean lies between them with 95 %, however often one looks. Margin: so much worse is still good "
    "enough; a mean that is worse than `harm beyond` is harm, and aborts."
)
CHANGES = ("where", "events", "changed", "share", "to yes", "to no", "by the model", "dead letters before", "then")
UNLIKE = ("event", "deployment", "published", "replayed", "scores within 1e-6")
TIMING = ("model", "median \u00b5s", "mean \u00b5s", "99th percentile \u00b5s")
ANSWERING = ("color", "deployment", "model", "digest", "events")
TOPICS = ("read as", "topic", "id", "partition", "from", "to")
HOLES = ("partition", "from", "to", "offsets", "what")


def tests(scored: Scored) -> Iterator[Row]:
    """What the verdict was made of."""
    for test in scored.verdict.tests:
        yield (
            test.metric,
            segment_words(test.field, test.value),
            number(test.events),
            number(test.mean, _points(test.mean)),
            number(test.log_good, show_e(test.log_good)),
            number(test.needed_good, show_e(test.needed_good)),
            number(test.log_harm, show_e(test.log_harm)),
            number(test.needed_harm, show_e(test.needed_harm)),
            _says(test),
        )


def _says(test: Test) -> str:
    if test.harms:
        return "harm"
    if test.good:
        return "good enough"
    return "not proved" if test.required else "not asked"


def metrics(scored: Scored) -> Iterator[Row]:
    """Every metric, diagnostics too, with how sure its mean is."""
    for each in scored.metrics:
        yield (
            each.metric,
            each.kind,
            each.role,
            segment_words(each.field, each.value),
            number(each.events),
            number(each.mean, _points(each.mean)),
            *_interval(each),
            *(
                number(share, "" if share is None else f"{share * 100:g} points")
                for share in (each.margin, each.harm_beyond)
            ),
            number(each.failed),
        )


def _interval(each: MetricRow) -> tuple[Part, Part]:
    if not each.events:
        return number(None), number(None)
    return number(each.low, _points(each.low)), number(each.high, _points(each.high))


def _points(share: float | None) -> str:
    return "" if share is None else points(share)


def change(each: Changes) -> Row:
    """One segment, or all events."""
    return (
        segment_words(each.field, each.value),
        number(each.events),
        number(each.changed),
        percent(each.changed, each.events),
        number(each.to_yes),
        number(each.to_no),
        number(each.by_model),
        number(each.dead_letters_before),
        number(each.dead_letters_then),
    )


def agreement(both: Agreement) -> Iterator[Row]:
    """Events by what both sides have for them."""
    yield "both have a row", number(both.matched)
    yield "both answered, comparable", number(both.compared)
    yield "decided alike", number(both.agree)
    yield "become yes", number(both.flips_to_yes)
    yield "become no", number(both.flips_to_no)
    yield "same bytes published", number(both.values_equal)
    yield "only the model has no answer", number(both.errors_model)
    yield "only the other side has no answer", number(both.errors_against)
    yield "neither has an answer", number(both.errors_both)
    yield "the model has no row", number(both.only_against)
    yield "the other side has no row", number(both.only_model)


def sides(scored: Scored) -> Iterator[Row]:
    """Each side's own figures."""
    pair = scored.against, scored.scores
    yield "rows", *(number(side.rows) for side in pair)
    yield "without an answer", *(number(side.errors) for side in pair)
    yield "mean score", *(_score(side.score_mean) for side in pair)
    yield "standard deviation", *(_score(side.score_deviation) for side in pair)
    for name in _quantiles(*pair):
        yield f"score, {name}", *(_score(side.score_quantiles.get(name)) for side in pair)


def _quantiles(*sides: Side) -> Sequence[str]:
    """p5 before p25."""
    return sorted({name for side in sides for name in side.score_quantiles}, key=lambda name: (len(name), name))


def _score(value: float | None) -> Part:
    return number(value, "" if value is None else f"{value:.6g}")


def labels(found: Labelled) -> Iterator[Row]:
    """What became of the labels."""
    yield "labels read", number(found.read)
    yield "events with their label", number(found.matched)
    yield "events that should have one", number(found.owed)
    yield "of these, events that have it", number(found.there)
    for why, count in sorted(found.bad.items()):
        yield f"not used: {why}", number(count)


def example(each: Example) -> Row:
    """One event on which both sides differ."""
    fields = node("code", " ".join(f"{name}={value}" for name, value in sorted(each.fields.items())))
    return (
        node("code", each.source, _class="one"),
        node("span", time_words(each.time_ms), _class="one"),
        "" if each.key is None else node("code", each.key),
        _answer(each.against),
        _answer(each.model),
        number(each.difference, f"{each.difference:+.6g}"),
        "flips" if each.flip else "",
        fields,
    )


def _answer(answer: Answer) -> Part:
    decided = {None: "", True: " yes", False: " no"}[answer.decision]
    return node("span", number(answer.score, f"{answer.score:.6g}"), decided, title=answer.value, _class="one")


def proof(found: Proof) -> Iterator[Row]:
    """Answers of this very model, published and given again."""
    yield "all", number(found.events)
    yield "the same bytes again", number(found.reproduced)
    yield "within 1e-6, batch borders no longer recorded", number(found.close)
    yield "different", number(found.different)
    yield "published under other rules, not compared", number(found.other_rules)


def unlike(each: Unlike) -> Row:
    """One answer that came out otherwise."""
    return (
        node("code", each.source, _class="one"),
        number(each.deployment, str(each.deployment)),
        node("code", each.published),
        node("code", each.replayed),
        "yes" if each.within else "no",
    )


def timing(each: Latency) -> Row:
    """One model's cost an event, in this run."""
    return each.model, *(number(value, f"{value:.2f}") for value in (each.p50_us, each.mean_us, each.p99_us))


def counts(found: Counts) -> Iterator[Row]:
    """How many events, from when to when."""
    yield "events", number(found.events)
    yield "partitions", number(found.partitions)
    yield "first", time_words(found.first_ms)
    yield "last", time_words(found.last_ms)
    yield "republished on purpose, not compared", number(found.supersedes)


def answering(each: Answering) -> Row:
    """One deployment that answered."""
    deployment = number(each.deployment, str(each.deployment))
    return each.color, deployment, each.model, node("code", each.digest), number(each.events)


def hole(each: Hole) -> Row:
    """Source offsets that are not there."""
    ends = (number(each.first, str(each.first)), number(each.end, str(each.end)))
    return number(each.partition), *ends, number(each.offsets), each.what


def identity(report: Report) -> Iterator[Row]:
    """What the id is made from, but the topics."""
    found = report.identity
    yield "replay", node("code", found.id)
    yield "pipeline", found.pipeline
    yield "cluster", node("code", found.cluster_id)
    for model in found.models:
        yield f"model {model.ref}", node("code", model.digest)
        yield f"{model.ref} runs on", f"{model.format}: {_versions(model.runtime)}"
    yield "against", found.against
    if found.against_model is not None:
        yield f"model {found.against_model.ref}", node("code", found.against_model.digest)
        yield (
            f"{found.against_model.ref} runs on",
            f"{found.against_model.format}: {_versions(found.against_model.runtime)}",
        )
    yield "rules", node("code", found.rules_digest)
    yield "control log folded to", number(found.epoch, str(found.epoch))
    settled = sorted(found.settled.items(), key=lambda entry: (len(entry[0]), entry[0]))
    yield "settled", " ".join(f"{partition}@{offset}" for partition, offset in settled)
    yield "as if at weight", "not asked" if found.as_if_weight is None else f"{found.as_if_weight / 100:g} %"
    yield "labels", "read" if found.labels else "not read"
    yield "versions", _versions(found.versions)
    yield "examples", f"secrets masked{f'; {found.masked}' if found.masked else ''}"
    for scored in report.models:
        yield f"evidence on {scored.model.ref}", node("code", scored.verdict.evidence)
        yield (
            f"coverage of {scored.model.ref}",
            number(scored.verdict.coverage, coverage_words(scored.verdict.coverage)),
        )


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))


def topic(each: TopicRange) -> Row:
    """One partition that was read."""
    ends = (number(each.start, str(each.start)), number(each.end, str(each.end)))
    return each.role, each.topic, node("code", each.topic_id), number(each.partition), *ends
