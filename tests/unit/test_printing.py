"""The helpers of what verbs print."""

from __future__ import annotations

from narrow_terminal import WIDTH, shown

from streambg.printing import Paragraph, many, moment, plain_table

NOON = 1_795_780_800_123


def test_a_paragraph_breaks_between_words_only() -> None:
    long = "x" * 100
    text = shown(Paragraph(f"one two {long} three\nnext", ("red", "red"), indent=4))
    assert text == f"one two\n    {long}\n    three\n    nextred\n"
    assert shown(Paragraph("")) == "\n"
    words = " ".join(["word"] * 40)
    assert all(len(line) <= WIDTH for line in shown(Paragraph(words)).splitlines())
    assert shown(Paragraph(words, indent=0)).replace("\n", " ").strip() == words
    assert "[red]" in shown(Paragraph("[red] is text")), "brackets are no markup"


def test_a_table_has_no_lines_and_cuts_nothing() -> None:
    table = plain_table("id", "why")
    table.add_row("i" * 60, "w" * 60)
    text = shown(table)
    assert (text.count("i"), text.count("w")) == (61, 61)


def test_counts_and_times() -> None:
    assert [many(number, "warning") for number in (0, 1, 2, 1_204)] == [
        "0 warnings",
        "1 warning",
        "2 warnings",
        "1,204 warnings",
    ]
    assert (moment(NOON), moment(NOON, fine=True)) == ("2026-11-27 12:00:00 UTC", "2026-11-27 12:00:00.123 UTC")
