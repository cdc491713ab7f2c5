"""What an audit prints at 80 columns."""

from __future__ import annotations

from corruptions import wrong_value
from narrow_terminal import shown
from recorded import standard

from streambg import audit
from streambg.audit.tally import MEANING, Kind


def test_an_audit_that_saw_all_says_so_in_one_line() -> None:
    text = shown(audit.render(audit.audit_records(standard())))
    flat = " ".join(text.split())
    assert "verified: all 4 checks (presence, order, answer, late), all 3 partitions: the whole range" in flat
    assert "not auditable" not in text
    assert "0 of what fails an audit: lost, doubled, out of order," in flat
    assert "route: the color that the route chose" in text


def test_an_audit_lists_exceptions_and_explains_what_it_counts() -> None:
    recording = standard()
    offset = wrong_value(recording)
    report = audit.audit_records(recording)
    text = shown(audit.render(report))
    flat = " ".join(text.split())
    assert f"1 wrong value: {MEANING[Kind.WRONG_VALUE]}" in flat
    assert f"wrong value payments/0@{offset}: expected" in flat
    assert "1 of 1 finding:" in flat
    begun = audit.audit_records(standard(), asked=audit.Asked(positions={0: 40, 1: 0, 2: 0}))
    rows = shown(audit.render(begun))
    assert "2 of 3 partitions: the whole range" in " ".join(rows.split())
    [row] = [line for line in rows.splitlines() if line.startswith("0 ")]
    assert row.split()[:2] == ["0", "all"]


def test_every_kind_of_finding_has_its_meaning() -> None:
    assert set(MEANING) == set(Kind)
