"""How much of what was owed is there: of the events that one color answered, how many both did.

What a declared sample leaves out, and what lies before a deployment's first answer, is not owed (P9).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streambg.records.source import COLORS


@dataclass(frozen=True, slots=True)
class Coverage:
    """Events."""

    matched: int
    missing: int

    @property
    def owed(self) -> int:
        return self.matched + self.missing

    @property
    def share(self) -> float:
        """In [0, 1]; 0 where nothing was owed: no evidence is no coverage."""
        return self.matched / self.owed if self.owed else 0.0

    def __str__(self) -> str:
        # rounded down: 99.9999 % is not 100 %
        return f"coverage {int(self.share * 10_000) / 100:.2f} % of {self.owed:,} events"


def of_counts(counts: Mapping[str, int]) -> Coverage:
    """From the comparator's counts (comparing/evidence.py)."""
    return Coverage(counts["matched"], sum(counts[f"only_{color}"] for color in COLORS))
