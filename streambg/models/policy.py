"""`registry.yaml`: what a registry's owner allows to be loaded from it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streambg.config.explain import explain
from streambg.config.yamlfile import parse
from streambg.errors import ConfigError, ModelError

# More than the cores of any machine that scores; a number above it was meant for something else.
MAX_ONNX_THREADS = 256
WAY_OUT = (
    "it holds `allow_pickle: true|false`, `python_allow: [module, ...]`, `onnx_threads: 1`, "
    "`skops_allow: [module.Type, ...]`, `mlflow: URI`"
)


class Policy(BaseModel):
    """What is not written there is not allowed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    allow_pickle: bool = False
    python_allow: list[str] = []
    skops_allow: list[str] = []
    mlflow: str | None = None
    onnx_threads: int = Field(default=1, ge=1, le=MAX_ONNX_THREADS)


def read_policy(data: bytes, file: str) -> Policy:
    """Raises ModelError with each problem's line."""
    try:
        document = parse(data.decode("utf-8"), file, lambda text: text)
    except UnicodeDecodeError as error:
        raise ModelError(f"{file}: byte {error.start} is no UTF-8", way_out=WAY_OUT) from error
    except ConfigError as error:
        raise ModelError(error.what, way_out=error.way_out or WAY_OUT) from error
    try:
        return Policy.model_validate(document.values)
    except ValidationError as error:
        raise ModelError(document.error(explain(error, Policy)).what, way_out=WAY_OUT) from error
