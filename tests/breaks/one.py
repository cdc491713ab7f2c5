"""What a break is."""

from __future__ import annotations

from dataclasses import dataclass

MUTANT = "mutant: "
BY_SEED = "tests/simulation/test_simulation.py::test_every_mutant_is_found"


@dataclass(frozen=True, slots=True)
class Break:
    """`text` stands once in `file` (from the repository's root); with `instead` in its place, `test` must fail.

    test: a pytest node id. Or `mutant: NAME` of simulation/mutants.py, which brings its own patch and the seed that
    finds it; then the other three are empty.
    """

    rule: int
    how: str
    test: str
    file: str = ""
    text: str = ""
    instead: str = ""

    @property
    def mutant(self) -> str | None:
        """The simulator's name for it, where it is one of the simulator's."""
        return self.test.removeprefix(MUTANT) if self.test.startswith(MUTANT) else None

    @property
    def node(self) -> str:
        """What pytest is given."""
        return self.test if self.mutant is None else f"{BY_SEED}[P{self.rule} {self.mutant}]"
