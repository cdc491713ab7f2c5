"""The comparator: what blue and green answered to the same events, kept as evidence (docs/design.md, section 8)."""
