"""`registry.yaml`: what a registry's owner allows to be loaded from it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streambg.config.explain import explain
from streambg.config.yamlfile import parse
from streambg.errors import ConfigError, ModelError

# More than the cores of any machine that scores; a number above it was meant for something else.
MAX_ONNX_THREADS = 256
WAY_OUT = (
    "it holds `allow_pickle: true|false`, `python_allow: [module, ...]`, `keep_source: true|false`, "
    "`onnx_threads: 1`, `skops_allow: [module.Type, ...]`, `mlflow: URI`"
)


class Policy(BaseModel):
    """What is not written there is not allowed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    allow_pickle: bool = False
    python_allow: list[str] = []
    keep_source: bool = False
    skops_allow: list[str] = []
    mlflow: str | None = None
    onnx_threads: int = Field(default=1, ge=1, le=MAX_ONNX_THREADS)


def policy_text(policy: Policy) -> str:
    """A `registry.yaml` that says so; what stands at its default and is rarely changed is left out."""
    lines = [f"allow_pickle: {str(policy.allow_pickle).lower()}", f"python_allow: [{', '.join(policy.python_allow)}]"]
    if policy.keep_source:
        lines.append("keep_source: true")
    if policy.skops_allow:
        lines.append(f"skops_allow: [{', '.join(policy.skops_allow)}]")
    if policy.onnx_threads != Policy().onnx_threads:
        lines.append(f"onnx_threads: {policy.onnx_threads}")
    return "".join(f"{line}\n" for line in lines)


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
        raise ModelError(document.error(explain(error, Policy, document.values)).what, way_out=WAY_OUT) from error
