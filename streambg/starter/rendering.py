"""The reference pipeline's files, renamed for another pipeline. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from streambg.config.names import PIPELINE_NAME
from streambg.errors import ConfigError

# What a file of the package says instead of a name, a version, or where streambg was installed from.
NAME, IMAGE, VERSION, SOURCE = "@PIPELINE@", "@IMAGE@", "@VERSION@", "@SOURCE@"

# What the reference pipeline's own files say, and what they say for another one. Each stands there exactly once: a
# file that was changed fails here (and in the tests), it is not half renamed.
_PIPELINE = (
    ("The reference pipeline: `make demo` runs it, `streambg init` copies it.", "The pipeline @PIPELINE@."),
    # in quotes: 123 is a name, too
    (
        "pipeline: shuttle                 # names our topics (shuttle.",
        'pipeline: "@PIPELINE@"    # names our topics (@PIPELINE@.',
    ),
    ("sasl.username: shuttle", "sasl.username: @PIPELINE@"),
    ("topic: sensors                  #", "topic: @PIPELINE@-events    #"),
    ("topic: sensor-alerts", "topic: @PIPELINE@-answers"),
    ("topic: sensor-labels", "topic: @PIPELINE@-labels"),
)
_COMPOSE = (
    ("The reference pipeline in containers", "The pipeline @PIPELINE@ in containers"),
    (" (docs/docker.md):", ":"),
    ("cli demo --attach", "cli status"),
    ("name: streambg\n", 'name: "@IMAGE@"\n'),
    ("image: streambg:local\n", "image: @IMAGE@:local\n"),
)
RENAMED: Mapping[str, tuple[tuple[str, str], ...]] = {"pipeline.yaml": _PIPELINE, "docker-compose.yml": _COMPOSE}


def check_name(name: str) -> None:
    """The rule of the pipeline file. Raises ConfigError."""
    if not re.fullmatch(PIPELINE_NAME, name) or name.endswith("\n"):
        raise ConfigError(
            f"{name!r} is no name of a pipeline",
            way_out="letters, digits, - and _, 100 at most, the first a letter or a digit: it begins the names of "
            "topics and consumer groups",
        )


def image_name(name: str) -> str:
    """The name as Docker takes it for images and projects: lower case, single dashes inside."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def render(name: str, version: str, sources: Mapping[str, str], checkout: str | None = None) -> dict[str, str]:
    """The texts for a pipeline called `name`; sources: path -> text. Raises ConfigError for a name that is none.

    checkout: the folder that streambg was installed from in editable form, if it was.
    """
    check_name(name)
    values = {NAME: name, IMAGE: image_name(name), VERSION: version, SOURCE: _if_there(checkout) if checkout else ""}
    return {path: _filled(_renamed(path, text), values) for path, text in sources.items()}


def _if_there(path: str) -> str:
    """For make: this path on the machine it is a path of, nothing elsewhere; nothing for one that make would split."""
    return f" $(wildcard {path})" if re.fullmatch(r"[\w./@+-]+", path) else ""


def _renamed(path: str, text: str) -> str:
    for old, new in RENAMED.get(path, ()):
        if text.count(old) != 1:
            raise ConfigError(
                f"{path} of the template holds {old!r} {text.count(old)} times instead of once",
                way_out="the installed package was changed: install streambg again",
            )
        text = text.replace(old, new)
    return text


def _filled(text: str, values: Mapping[str, str]) -> str:
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return text
