"""Which way to a server applies: pure decisions, fed with what was found on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Literal

from streambg.errors import ConfigError, Unreachable

Choice = Literal["auto", "local", "docker"]
CHOICES: tuple[Choice, ...] = ("auto", "local", "docker")


class Way(Enum):
    """How a server comes to be."""

    DOCKER = "docker"
    LOCAL = "local"


def ways(choice: str, keeps_data: bool) -> tuple[Way, ...]:
    """The ways to try, in this order. A container keeps its data inside, so it does not apply where a directory is
    given to keep it. Raises ConfigError for an unknown choice, or one that contradicts the directory.
    """
    if choice == "local":
        return (Way.LOCAL,)
    if choice == "auto":
        return (Way.LOCAL,) if keeps_data else (Way.DOCKER, Way.LOCAL)
    if choice != "docker":
        raise ConfigError(
            f"servers: {choice!r} is unknown, known are {', '.join(CHOICES)}", way_out="--servers auto|local|docker"
        )
    if keeps_data:
        raise ConfigError(
            "a Docker container keeps its data inside, not in the directory given",
            way_out="leave the directory away, or --servers local",
        )
    return (Way.DOCKER,)


def first_that_applies(
    order: Sequence[Way], missing: Callable[[Way], str | None], server: str, way_out: str
) -> list[Way]:
    """The ways for which nothing is missing. Raises Unreachable with every reason when none is left."""
    found, reasons = [], []
    for way in order:
        reason = missing(way)
        if reason is None:
            found.append(way)
        else:
            reasons.append(f"{way.value}: {reason}")
    if not found:
        raise Unreachable(f"no {server} can be started ({'; '.join(reasons)})", way_out=way_out)
    return found
