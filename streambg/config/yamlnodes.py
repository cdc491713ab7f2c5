"""A YAML text into values, bounded while it is read: what a file expands to is a matter of a few bytes. Pure."""

from __future__ import annotations

from typing import Any

from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import CollectionNode, Node

# The deepest value of ours is on the sixth level (`rollout.steps[0].gates[0]`). Each level costs four calls in the
# reader, and Python ends them at some 250 levels (measured), fewer where the caller is deep itself.
MAX_DEPTH = 32
# Keys and values, an alias counted as all that it stands for: 25,000 features with their kinds. That many take 2 s and
# 50 MB (measured). Nine levels of nine aliases each, in less than 1 KB, stand for 400 million.
MAX_NODES = 50_000


class Unusable(Exception):
    """What is YAML and no file of ours; `line` counts from 1."""

    def __init__(self, mark: Any, what: str, way_out: str) -> None:
        super().__init__(what)
        self.line: int = mark.line + 1
        self.what = what
        self.way_out = way_out


class BoundedComposer(Composer):
    """Raises Unusable where a text nests deeper than MAX_DEPTH or, with its aliases, expands to more than MAX_NODES."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader=loader)
        self._open = self._made = 0
        # of each finished node: how deep it is, and how many nodes it stands for; the tree keeps the nodes alive
        self._sizes: dict[int, tuple[int, int]] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next node with all below it."""
        mark, alias = self.parser.peek_event().start_mark, self.parser.check_event(AliasEvent)
        self._made += 1
        self._check(mark, self._open + 1, self._made)
        self._open += 1
        node = super().compose_node(parent, index)
        self._open -= 1
        if not alias:
            self._sizes[id(node)] = self._size(node)
        elif id(node) not in self._sizes:
            raise Unusable(mark, "an alias stands inside what it stands for", "write it out")
        depth, count = self._sizes[id(node)]
        self._check(mark, self._open + depth, count)
        return node

    def _check(self, mark: Any, depth: int, count: int) -> None:
        if depth > MAX_DEPTH:
            raise Unusable(mark, f"nested more than {MAX_DEPTH} levels deep", "is it the right file?")
        if count > MAX_NODES:
            what = f"more than {MAX_NODES:,} keys and values, an alias (*) counted as what it stands for"
            raise Unusable(mark, what, "is it the right file?")

    def _size(self, node: Node) -> tuple[int, int]:
        sizes = [self._sizes[id(child)] for child in _children(node)]
        return 1 + max((depth for depth, _ in sizes), default=0), 1 + sum(count for _, count in sizes)


def _children(node: Node) -> list[Node]:
    if not isinstance(node, CollectionNode):
        return []
    return [child for item in node.value for child in (item if isinstance(item, tuple) else (item,))]


class LinedConstructor(RoundTripConstructor):
    """Raises Unusable, with the line, where a value looks like a date or a number and Python cannot make it one."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """The value of a node."""
        try:
            return super().construct_object(node, deep)
        except ValueError:  # a 13th month, thousands of digits
            what = "a value looks like a date or a number and cannot be read as one"
            raise Unusable(node.start_mark, what, "put it in quotes") from None
