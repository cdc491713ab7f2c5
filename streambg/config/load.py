"""From a file to a Pipeline, or to an error that names every line that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from streambg.config.checks import client_keys, contradictions, literal_secrets
from streambg.config.decidingchecks import deciding_contradictions
from streambg.config.environment import expand
from streambg.config.explain import explain
from streambg.config.sections import Pipeline
from streambg.config.yamlfile import read
from streambg.process.ctrl_c import ctrl_c_waits


@ctrl_c_waits()
def load(path: Path, env: Mapping[str, str]) -> Pipeline:
    """The pipeline that a file describes; `${NAME:-default}` is filled from `env`.

    Raises ConfigError that lists every problem as `file:line: key: what is wrong`, with the nearest right key.
    """
    document = read(path, lambda text: expand(text, env))
    problems = [*literal_secrets(document.raw), *client_keys(document.values)]
    pipeline: Pipeline | None = None
    try:
        pipeline = Pipeline.model_validate(document.values, context={"directory": path.parent})
    except ValidationError as error:
        # the error holds the values, secrets among them: it must not be chained to what is shown
        problems += explain(error, Pipeline)
    if pipeline is not None:
        problems += [*contradictions(pipeline), *deciding_contradictions(pipeline)]
    if problems or pipeline is None:
        raise document.error(problems)
    pipeline._file = path
    return pipeline
