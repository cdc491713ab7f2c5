"""What a shell is told when someone presses TAB: colors, and versions of the registry. Nothing is ever printed wrong:
where there is no pipeline or no registry, there is nothing to offer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from streambg.cli.common import DEFAULT_PIPELINE
from streambg.cli.registry import place_of, typed
from streambg.errors import StreambgError
from streambg.models.manifest import parse_ref
from streambg.records.source import COLORS


def one_of(names: Sequence[str]) -> Callable[[str], list[str]]:
    """Completes an option that takes one of these."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


def complete_color(incomplete: str) -> list[str]:
    """Blue and green."""
    return [color for color in COLORS if color.startswith(incomplete)]


def complete_ref(ctx: typer.Context, incomplete: str) -> list[str]:
    """The versions in the registry that --registry or --pipeline names."""
    pipeline, registry = ctx.params.get("pipeline"), ctx.params.get("registry")
    try:
        listed = place_of(Path(pipeline or DEFAULT_PIPELINE), Path(registry) if registry else None).registry.list()
    except (StreambgError, OSError):
        return []
    return [version.ref for version in listed if version.manifest is not None and version.ref.startswith(incomplete)]


def checked_ref(ref: str | None) -> str | None:
    """As it was typed. Raises ConfigError where it is not written name:version."""
    if ref is not None:
        with typed():
            parse_ref(ref)
    return ref


def version_argument(help_text: str) -> Any:
    """An argument that is a version of the registry."""
    return typer.Argument(
        metavar="NAME:VERSION",
        help=help_text,
        autocompletion=complete_ref,
        callback=checked_ref,
        show_default=False,
    )


Ref = Annotated[str, version_argument("For example fraud:8")]
ColorArgument = Annotated[
    str, typer.Argument(metavar="COLOR", help="blue or green", autocompletion=complete_color, show_default=False)
]
