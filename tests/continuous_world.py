"""A control log with a rollout under way, ended, or taken over by a person: what `continuous` decides about."""

from __future__ import annotations

from typing import Any

from control_log import Log, digest
from plans import plan

from streambg.continuous.decide import Tried, Version, decide, tried_of
from streambg.control.fold import Entry
from streambg.control.rollouts import Rollout
from streambg.control.state import ControlState


class World(Log):
    """Blue m:1 is live; `entries` are all records, folded."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[Entry] = []
        self.must("deploy", color="blue", model="m:1", digest=digest("m:1"), rules=RULES_TEXT)

    def raw(self, value: bytes, appended_ms: int = 1_000) -> Entry:
        entry = super().raw(value, appended_ms)
        if hasattr(self, "entries"):
            self.entries.append(entry)
        return entry

    def must(self, verb: str, **args: Any) -> Entry:
        entry = self.say(verb, **args)
        assert entry.accepted, entry.refusal
        return entry

    def candidate(self, model: str = "m:2", **more: Any) -> Entry:
        return self.must("deploy", color="green", model=model, digest=digest(model), rules=RULES_TEXT, **more)

    def start(self) -> Entry:
        assert self.state.other_deployment is not None
        return self.must("rollout-start", candidate=self.state.other_deployment.id, plan=plan().text())

    def act(self, verb: str) -> Entry:
        return self.must(f"rollout-{verb}", rollout=self.rollout.id, step=self.rollout.step)

    def promoted(self) -> World:
        self.candidate()
        self.start()
        for _ in range(3):
            self.act("advance")
        return self

    @property
    def state(self) -> ControlState:
        return self.fold.state

    @property
    def rollout(self) -> Rollout:
        assert self.state.rollout is not None
        return self.state.rollout


RULES_TEXT = '{"outputs": ["anomaly"], "decision": {"output": "anomaly", "threshold": 0.5}}'
NEW = digest("m:3")


def rolled_back() -> World:
    world = World().promoted()
    world.act("rollback")
    return world


def aborted() -> World:
    world = World()
    world.candidate()
    world.start()
    world.act("abort")
    return world


def by_hand(*verbs: tuple[str, dict[str, Any]]) -> World:
    world = World()
    world.candidate()
    for verb, args in verbs:
        world.must(verb, **args)
    return world


def retired() -> World:
    world = World().promoted()
    world.act("keep")
    world.act("retire")
    return world


def version(number: int) -> Version:
    return Version(f"m:{number}", digest(f"m:{number}"))


def tried_in(world: World) -> list[Tried]:
    return [found for entry in world.entries if (found := tried_of(entry)) is not None]


def decided(world: World, *numbers: int, **refused: str) -> Any:
    return decide(world.state, [version(number) for number in numbers], tried_in(world), refused)
