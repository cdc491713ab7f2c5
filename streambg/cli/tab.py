"""What the shells' scripts and Typer exchange when someone presses TAB. It imports nothing that a verb needs."""

from __future__ import annotations

import io
import shlex
import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress

# the variable that Typer's shell scripts set, and those in which bash, and the others, say what stands on the line
COMPLETE = "_STREAMBG_COMPLETE"
WORDS, AT = "COMP_WORDS", "COMP_CWORD"
LINE = "_TYPER_COMPLETE_ARGS"


def words_before(environment: Mapping[str, str]) -> Sequence[str]:
    """The words after `streambg` and before the one that is being typed; none where the shell's line is odd."""
    with suppress(ValueError):  # a quote that is still open
        if environment.get(COMPLETE) == "complete_bash":
            return environment.get(WORDS, "").split("\n")[1 : int(environment.get(AT, "0"))]
        line = environment.get(LINE, "")
        words = shlex.split(line)
        return words[1:] if line.endswith(" ") else words[1:-1]
    return ()


@contextmanager
def bash_completion(environment: MutableMapping[str, str]) -> Iterator[None]:
    """Inside, words that bash cut at a colon are whole again, and the answers lack what bash has on the line already.

    Does nothing but where bash asks. What the shell's script and Typer exchange: words with line breaks between them,
    the number of the word at the cursor, and an answer a line on stdout.
    """
    if environment.get(COMPLETE) != "complete_bash":
        yield
        return
    words, at, before = join_colons(environment[WORDS].split("\n"), int(environment[AT]))
    environment.update({WORDS: "\n".join(words), AT: str(at)})
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
