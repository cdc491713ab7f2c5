"""HTML as a tree: whatever text comes in is escaped on the way out, because nothing else is possible. Pure."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence

Part = ET.Element | str | None


def node(tag: str, *parts: Part, **attributes: str) -> ET.Element:
    """An element with text and elements inside; None is nothing. Of an attribute's name `_` in front is left out, and
    other `_` are dashes: `_class`, `data_of`.
    """
    made = ET.Element(tag, {name.removeprefix("_").replace("_", "-"): plain(text) for name, text in attributes.items()})
    for part in parts:
        if isinstance(part, str):
            _write(made, plain(part))
        elif part is not None:
            made.append(part)
    return made


def _write(into: ET.Element, text: str) -> None:
    if len(into):
        into[-1].tail = (into[-1].tail or "") + text
    else:
        into.text = (into.text or "") + text


def plain(text: str) -> str:
    """Characters that are not seen (controls, changes of the writing's direction) become visible ones."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text)


def number(value: float | None, text: str | None = None) -> ET.Element | str:
    """A value for people, with the exact one beside it for programs; a dash where there is none."""
    if value is None:
        return "\u2013"
    return node("data", f"{value:,}" if text is None else text, value=repr(value))


def table(name: str, head: Sequence[str], rows: Iterable[Sequence[Part]]) -> ET.Element:
    """Cells that are numbers stand to the right. Wide tables scroll by themselves, not the page."""
    top = node("tr", *(node("th", text, scope="col") for text in head))
    body = [node("tr", *(_cell(part) for part in row)) for row in rows]
    return node("div", node("table", node("thead", top), node("tbody", *body), id=f"table-{name}"), _class="wide")


def _cell(part: Part) -> ET.Element:
    is_number = isinstance(part, ET.Element) and part.tag == "data"
    return node("td", part, **({"_class": "number"} if is_number else {}))


def listed(texts: Iterable[str], **attributes: str) -> ET.Element:
    """A list of sentences."""
    return node("ul", *(node("li", text) for text in texts), **attributes)


def document(root: ET.Element) -> str:
    """The page's text."""
    return "<!DOCTYPE html>\n" + ET.tostring(root, encoding="unicode", method="html") + "\n"
