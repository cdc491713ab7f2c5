"""A YAML file as plain values, each with the line it stands on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from streambg.config.environment import BadReference, unprintable
from streambg.config.yamlnodes import BoundedComposer, LinedConstructor, Unusable
from streambg.errors import ConfigError

At = tuple[str | int, ...]  # where a value stands: ("publish", "late", "live"), ("carry", 0)

# A file that a person wrote; what is larger was given by mistake.
MAX_FILE_BYTES = 1024 * 1024
# Whole numbers are counts; the control log's format and the clients have 64 bits for them.
_MAX_NUMBER = 2**63 - 1
NO_PIPELINE = "cd into the pipeline's folder, or name its file with -p FILE; a new one: streambg init NAME"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and where."""

    at: At
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """`values`: dicts, lists, str, int, float, bool. `raw`: the strings as written, before substitution."""

    file: str
    values: dict[str, Any]
    lines: Mapping[At, int]
    raw: Mapping[At, str]

    def line(self, at: At) -> int:
        """The line (from 1) of a value, or of the nearest thing around it."""
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at, 1)

    def error(self, problems: list[Problem], way_out: str = "") -> ConfigError:
        """All problems in the order of the file, each as `file:line: path: what`."""
        ordered = sorted(problems, key=lambda problem: (self.line(problem.at), problem.at and str(problem.at[-1])))
        return ConfigError("\n".join(self._say(problem) for problem in ordered), way_out=way_out)

    def _say(self, problem: Problem) -> str:
        path = show(problem.at)
        return f"{self.file}:{self.line(problem.at)}: {path}{': ' if path else ''}{problem.text}"


def show(at: At) -> str:
    """("publish", "late", "live") as `publish.late.live`, an index as `carry[0]`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in at).removeprefix(".")


def read(path: Path, substitute: Callable[[str], str], no_file: str = NO_PIPELINE) -> Document:
    """The file with `substitute` applied to every string value; keys are taken as they are.

    no_file: what to do where there is none. Raises ConfigError with file and line for what cannot be read: no file, no
    YAML, a key given twice, no mapping at the top, a key without a value, a value of a kind that we have not, and every
    BadReference of `substitute`.
    """
    return parse(_text(path, no_file), str(path), substitute)


def parse(text: str, file: str, substitute: Callable[[str], str]) -> Document:
    """As `read`, from the text of the file."""
    tree = _tree(text, file)
    if not isinstance(tree, CommentedMap):
        raise ConfigError(
            f"{file}:1: the file must be a mapping of sections, not {_kind(tree)}",
            way_out="begin with `key: value`",
        )
    walk = _Walk(substitute)
    document = Document(file, walk.plain(tree, ()), walk.lines, walk.raw)
    if walk.problems:
        raise document.error(walk.problems)
    return document


class _Walk:
    """Turns ruamel's values into plain ones, and notes where each stands."""

    def __init__(self, substitute: Callable[[str], str]) -> None:
        self.lines: dict[At, int] = {(): 1}
        self.raw: dict[At, str] = {}
        self.problems: list[Problem] = []
        self._substitute = substitute

    def plain(self, node: Any, at: At) -> Any:
        if isinstance(node, CommentedMap):
            for key in node.lc.data or ():  # a key that `<<` merged in has no line here
                self.lines[*at, str(key)] = node.lc.key(key)[0] + 1
            self._keys(node, at)
            return {str(key): self.plain(value, (*at, str(key))) for key, value in node.items()}
        if isinstance(node, CommentedSeq):
            for index in range(len(node)):
                self.lines[*at, index] = node.lc.item(index)[0] + 1
            return [self.plain(value, (*at, index)) for index, value in enumerate(node)]
        return self._text(str(node), at) if isinstance(node, str) else self._scalar(node, at)

    def _text(self, text: str, at: At) -> str:
        self.raw[at] = text
        try:
            if wrong := unprintable(text):
                raise BadReference(f"holds {wrong}; a value is text in UTF-8")
            return self._substitute(text)
        except BadReference as error:
            self.problems.append(Problem(at, str(error)))
            return ""

    def _keys(self, node: CommentedMap, at: At) -> None:
        for key in map(str, node):
            if wrong := unprintable(key):  # not named: it could not be printed
                self.lines[*at, "?"] = self.lines.get((*at, key), 1)
                self.problems.append(Problem((*at, "?"), f"a key holds {wrong}"))

    def _scalar(self, node: Any, at: At) -> bool | int | float | None:
        if isinstance(node, int) and not -_MAX_NUMBER <= node <= _MAX_NUMBER:
            self.problems.append(Problem(at, f"is a number of {node.bit_length()} bits, the limit is 63"))
            return None
        # ruamel's own numbers carry their layout along; ours are plain ones
        for kind in (bool, int, float):
            if isinstance(node, kind):
                return kind(node)
        odd = f"{f'{node} ' if isinstance(node, date) else ''}was read as {_kind(node)}; put it in quotes"
        self.problems.append(Problem(at, "has no value" if node is None else odd))
        return None


def _kind(node: object) -> str:
    """What YAML made of something, as a person would name it."""
    if node is None:
        return "an empty one"
    words = {date: "a date", bytes: "bytes", CommentedSeq: "a list", str | int | float: "a single value"}
    return next((word for kind, word in words.items() if isinstance(node, kind)), "neither text nor a number")


def _text(path: Path, no_file: str) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(
                f"{path} has {path.stat().st_size} bytes, the limit is {MAX_FILE_BYTES}",
                way_out="is it the right file?",
            )
        return path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", way_out=no_file) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is no UTF-8", way_out="save the file as UTF-8 text") from error


def _tree(text: str, file: str) -> Any:
    yaml = YAML(typ="rt")
    yaml.Composer, yaml.Constructor = BoundedComposer, LinedConstructor
    try:
        return yaml.load(text)
    except Unusable as error:
        raise ConfigError(f"{file}:{error.line}: {error.what}", way_out=error.way_out) from None
    except DuplicateKeyError as error:
        mark = error.problem_mark
        raise ConfigError(
            f"{file}:{mark.line + 1 if mark else 1}: a key is given twice: {error.problem}",
            way_out="remove one of the two",
        ) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # an open { is noticed on a later line
        begin = error.context_mark if "flow" in (error.context or "") else mark
        first, last = (each.line if each else 0 for each in (begin or mark, mark))
        where = "".join(text.splitlines()[first : last + 1])
        hint = "put a value with { or } in quotes" if "${" in where else ""
        raise ConfigError(
            f"{file}:{mark.line + 1 if mark else 1}: no YAML: {error.problem or error.context}", way_out=hint
        ) from None
    except YAMLError as error:
        raise ConfigError(f"{file}: no YAML: {error}", way_out="write it as YAML text") from None
