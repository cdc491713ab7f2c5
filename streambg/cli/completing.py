"""What a shell is told when someone presses TAB: colors, and versions of the registry. Nothing is ever printed wrong:
where there is no pipeline or no registry, there is nothing to offer.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from streambg.cli.common import DEFAULT_PIPELINE
from streambg.cli.registry import place_of
from streambg.errors import StreambgError
from streambg.records.source import COLORS

# the variable that Typer's shell scripts set
COMPLETE = "_STREAMBG_COMPLETE"


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


@contextmanager
def bash_completion(environment: MutableMapping[str, str]) -> Iterator[None]:
    """Inside, words that bash cut at a colon are whole again, and the answers lack what bash has on the line already.

    Does nothing but where bash asks. What the shell's script and Typer exchange: words with line breaks between them,
    the number of the word at the cursor, and an answer a line on stdout.
    """
    if environment.get(COMPLETE) != "complete_bash":
        yield
        return
    words, at, before = join_colons(environment["COMP_WORDS"].split("\n"), int(environment["COMP_CWORD"]))
    environment.update({"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(at)})
    answers = io.StringIO()
    try:
        with redirect_stdout(answers):
            yield
    finally:
        sys.stdout.writelines(f"{line.removeprefix(before)}\n" for line in answers.getvalue().splitlines())


def join_colons(words: list[str], at: int) -> tuple[list[str], int, str]:
    """Bash ends a word at a colon: `show fraud : 8` is `show fraud:8` again, the word `at` where it now stands, and
    what of it stands before the colon, which bash has on the line already and would write twice.
    """
    joined: list[str] = []
    spot, before = at, ""
    for number, word in enumerate(words):
        glued = bool(joined) and (word == ":" or (number > 0 and words[number - 1] == ":"))
        if glued and number <= at:
            spot -= 1
            if number == at:
                before = joined[-1] + (":" if word == ":" else "")
        if glued:
            joined[-1] += word
        else:
            joined.append(word)
    return joined, spot, before


def version_argument(help_text: str) -> Any:
    """An argument that is a version of the registry."""
    return typer.Argument(metavar="NAME:VERSION", help=help_text, autocompletion=complete_ref, show_default=False)


Ref = Annotated[str, version_argument("For example fraud:8")]
ColorArgument = Annotated[
    str, typer.Argument(metavar="COLOR", help="blue or green", autocompletion=complete_color, show_default=False)
]
