"""From a file to a Pipeline, or to an error that names every line that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from streambg.config.checks import client_keys, contradictions, literal_secrets
from streambg.config.environment import expand
from streambg.config.explain import explain
from streambg.config.sections import Pipeline
from streambg.config.yamlfile import At, Document, Problem, read, show

# Sections of the contract that later versions fill; never ignored in silence.
NOT_YET: tuple[At, ...] = (
    ("labels",),
    ("segments",),
    ("metrics",),
    *(("rollout", key) for key in ("alpha", "coverage", "steps", "on_abort", "on_inconclusive", "after_promotion")),
)


def load(path: Path, env: Mapping[str, str]) -> Pipeline:
    """The pipeline that a file describes; `${NAME:-default}` is filled from `env`.

    Raises ConfigError that lists every problem as `file:line: key: what is wrong`, with the nearest right key.
    """
    document = read(path, lambda text: expand(text, env))
    problems = [*_take_not_yet(document), *literal_secrets(document.raw), *client_keys(document.values)]
    pipeline: Pipeline | None = None
    try:
        pipeline = Pipeline.model_validate(document.values, context={"directory": path.parent})
    except ValidationError as error:
        # the error holds the values, secrets among them: it must not be chained to what is shown
        problems += explain(error, Pipeline)
    if pipeline is not None:
        problems += contradictions(pipeline)
    if problems or pipeline is None:
        raise document.error(problems)
    pipeline._file = path
    return pipeline


def _take_not_yet(document: Document) -> list[Problem]:
    problems = []
    for at in NOT_YET:
        section: Any = document.values
        for step in at[:-1]:
            section = section.get(step) if isinstance(section, dict) else None
        if isinstance(section, dict) and at[-1] in section:
            del section[at[-1]]
            problems.append(Problem(at, f"not yet: `{show(at)}` comes with a later version; remove it"))
    return problems
