"""What a person types after `streambg models add`, as what the registry takes. Whatever is wrong with it is a
ConfigError: exit code 15 is for what a version is, not for what was typed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from streambg.cli.common import check_utf8
from streambg.cli.registry import read_file, typed
from streambg.errors import ConfigError
from streambg.models.contract import Schema
from streambg.models.importing import parse_entry
from streambg.models.libraries import recorded_versions
from streambg.models.manifest import Format, check_file_name, check_metrics


def check_parts(format_: Format, entry: str | None, artifact: Path | None, types: Sequence[str]) -> None:
    """Is there what this format is made of, and nothing else? Raises ConfigError."""
    if format_ == "python":
        if not entry:
            raise ConfigError(
                "--entry is missing: format python is made by a class of a module", way_out="--entry module:Class"
            )
        with typed():
            parse_entry(entry)
    elif entry:
        raise ConfigError(
            f"--entry names the class of format python, the format is {format_}",
            way_out="leave --entry out, or --format python",
        )
    elif artifact is None:
        raise ConfigError(f"--artifact is missing: format {format_} is a file", way_out="--artifact FILE")
    if types and format_ != "sklearn":
        raise ConfigError(f"--type is for format sklearn, the format is {format_}", way_out="leave --type out")


def check_texts(given: Mapping[str, Sequence[str]]) -> None:
    """Option -> what it was given. An argument that is no UTF-8 cannot be written anywhere. Raises ConfigError."""
    for option, texts in given.items():
        for text in texts:
            check_utf8(option, text)


def features_of(options: Sequence[str]) -> dict[str, str]:
    """`name=number`, ... Raises ConfigError."""
    return dict(_pairs(options, "feature"))


def check_contract(features: Mapping[str, str], outputs: tuple[str, ...]) -> None:
    """Raises ConfigError: a type that there is not, no output, one that is named twice."""
    with typed():
        Schema(features, outputs)


def check_libraries(format_: Format, names: Sequence[str]) -> None:
    """Raises ConfigError where one is not installed."""
    if names:
        with typed():
            recorded_versions(format_, names)


def artifact_of(path: Path | None) -> bytes | None:
    """The file's bytes. Raises ConfigError: not there, not readable, too large, a name that no version can hold."""
    if path is None:
        return None
    with typed():
        check_file_name(path.name)
    return read_file(path)


def metrics_of(options: Sequence[str]) -> dict[str, float | int | str]:
    """`name=value`, ...; numbers where they are some. Raises ConfigError."""
    metrics = {name: _number(value) for name, value in _pairs(options, "metric")}
    with typed():
        check_metrics(metrics)
    return metrics


def _pairs(options: Sequence[str], what: str) -> list[tuple[str, str]]:
    pairs = [option.partition("=") for option in options]
    for name, equals, value in pairs:
        if not (name and equals and value):
            raise ConfigError(f"--{what} {name}{equals}{value}", way_out=f"it is written --{what} name=value")
    return [(name, value) for name, _, value in pairs]


def _number(text: str) -> float | int | str:
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text
