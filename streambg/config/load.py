"""From a file to a Pipeline, or to an error that names every line that is wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from pydantic import ValidationError

from streambg.config.checks import client_keys, contradictions, literal_secrets
from streambg.config.decidingchecks import deciding_contradictions
from streambg.config.environment import expand, filled_from
from streambg.config.explain import explain
from streambg.config.sections import Pipeline
from streambg.config.yamlfile import Document, Problem, read
from streambg.errors import ConfigError
from streambg.process.ctrl_c import ctrl_c_waits

# For whatever has no --ignore-record, and for whoever would rather say it once than in every start line.
IGNORE_RECORDS = "STREAMBG_IGNORE_RECORDS"


@ctrl_c_waits()
def load(path: Path, env: Mapping[str, str], ignore_records: Collection[int] = ()) -> Pipeline:
    """The pipeline that a file describes; `${NAME:-default}` is filled from `env`.

    ignore_records: control records that are passed (P5), beside those that `env` names in STREAMBG_IGNORE_RECORDS.

    Raises ConfigError that lists every problem as `file:line: key: what is wrong`, with the nearest right key.
    """
    document = read(path, lambda text: expand(text, env))
    problems = [*literal_secrets(document.raw), *client_keys(document.values)]
    pipeline: Pipeline | None = None
    try:
        pipeline = Pipeline.model_validate(document.values, context={"directory": path.parent})
    except ValidationError as error:
        # the error holds the values, secrets among them: it must not be chained to what is shown
        problems += _from_where(explain(error, Pipeline, document.values), document, env)
    if pipeline is not None:
        problems += _from_where([*contradictions(pipeline), *deciding_contradictions(pipeline)], document, env)
    if problems or pipeline is None:
        raise document.error(problems)
    pipeline._file = path
    pipeline._ignore_records = frozenset(ignore_records) | _ignored(env)
    return pipeline


def _from_where(problems: Iterable[Problem], document: Document, env: Mapping[str, str]) -> list[Problem]:
    """With the variables that a wrong value came from: it is not the file's line that must be mended."""
    found = []
    for problem in problems:
        names = filled_from(document.raw.get(problem.at, ""), env)
        said = f" (from {', '.join(f'${{{name}}}' for name in names)})" if names else ""
        found.append(Problem(problem.at, problem.text + said))
    return found


def _ignored(env: Mapping[str, str]) -> frozenset[int]:
    words = env.get(IGNORE_RECORDS, "").replace(",", " ").split()
    wrong = [word for word in words if not (word.isascii() and word.isdecimal())]
    if wrong:
        raise ConfigError(
            f"{IGNORE_RECORDS}: {wrong[0]!r} is no offset of the control log",
            way_out=f"offsets with commas between them: {IGNORE_RECORDS}=41,57",
        )
    return frozenset(map(int, words))
