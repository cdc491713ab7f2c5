"""The two deployments that are compared, and on what terms: both follow from the control log alone (P30)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streambg.control.state import ControlState, Standing
from streambg.deciding.kinds import Hook
from streambg.errors import UpgradeFirst
from streambg.records.gate import FORMAT, Gate
from streambg.records.rules import Rules
from streambg.records.source import COLORS, Color

LABELS = "labels/"


@dataclass(frozen=True, slots=True)
class Pair:
    """Both deployment ids. A promote or a rollback leaves the pair as it is: evidence goes on."""

    blue: int
    green: int

    def of(self, color: Color) -> int:
        return self.blue if color == "blue" else self.green

    @property
    def younger(self) -> Color:
        """The color deployed last: where its answers begin, the evidence begins (P31)."""
        return "blue" if self.blue > self.green else "green"

    def key(self, partition: int) -> bytes:
        """The key of the evidence in its compacted topic (P30)."""
        return f"{partition}/{self.blue}/{self.green}".encode()

    def label_key(self, partition: int) -> bytes:
        """The key of what labels have taught, of a partition of theirs, in the same topic (P33)."""
        return f"{LABELS}{partition}/{self.blue}/{self.green}".encode()


@dataclass(frozen=True, slots=True)
class Terms:
    """What is compared: `column` of the scores (the decision's output, else the first), and the decision's threshold.

    gate: what is counted for a decision; None: the deploy declared no metrics. hooks: the team's functions, by kind.
    drift: the carried fields that are watched for drift.

    The last accepted `deploy` carried the rules, and every accepted `deploy` makes a new pair: so a pair has one set
    of terms for all its life, and evidence is a pure function of the two logs.
    """

    outputs: int
    column: int = 0
    threshold: float | None = None
    gate: Gate | None = None
    hooks: Mapping[str, Hook] = field(default_factory=dict, compare=False)
    drift: tuple[str, ...] = ()


def pair_of(state: ControlState) -> Pair | None:
    """The pair in force: two deployments that both score. An aborted candidate goes on scoring (P3)."""
    slots = {color: state.slots[color] for color in COLORS}
    blue, green = slots["blue"], slots["green"]
    if blue is None or green is None or Standing.RETIRED in (blue.standing, green.standing):
        return None
    return Pair(blue.id, green.id)


def terms_of(state: ControlState) -> Terms:
    """Without the functions. Raises ValueError where nothing was ever deployed; UpgradeFirst for a newer gate."""
    if state.rules is None:
        raise ValueError("there are no rules before the first deploy")
    rules = state.rules
    column, threshold = rules.decision_output or 0, rules.decision_threshold
    return Terms(len(rules.outputs), column, threshold, gate_in_force(state), drift=rules.drift)


def gate_in_force(state: ControlState) -> Gate | None:
    """What decides about the candidate, held against the noise that its deploy carried. Raises UpgradeFirst."""
    gate = None if state.rules is None else gate_of(state.rules)
    return None if gate is None else gate.above(state.noise)


def gate_of(rules: Rules) -> Gate | None:
    """What decides about a candidate of these rules. Raises UpgradeFirst for a newer format."""
    gate = None if rules.gate is None else Gate.from_data(rules.gate)
    if gate is None and rules.gate is not None:
        raise UpgradeFirst(
            f"the deploy's gate has format {rules.gate.get('format')}, this process knows {FORMAT}",
            way_out="upgrade this process first",
        )
    return gate
