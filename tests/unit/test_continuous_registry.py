"""Continuous deployment, its decisions: what is new in a registry, and what is tried."""

from __future__ import annotations

import json
import threading

import pytest
from continuous_world import NEW, RULES_TEXT, World, aborted, by_hand, decided, rolled_back, tried_in, version
from control_log import digest
from hypothesis import given
from hypothesis import strategies as st

from streambg.continuous.decide import (
    ACTOR,
    Nothing,
    Start,
    Tried,
    Try,
    Version,
    Wait,
    decide,
    reason_of,
    skips_of,
    unseen,
)
from streambg.continuous.watching import News, RegistryWatch
from streambg.control.commands import MAX_TEXT
from streambg.control.fold import Entry
from streambg.errors import StreambgError, Unreachable, UpgradeFirst


def ours(world: World, number: int, *skips: int) -> Entry:
    """As the watcher deploys."""
    reason = reason_of(version(number), [f"m:{skip}" for skip in skips])
    expected = world.state.epoch
    name = f"m:{number}"
    args = {"color": "green", "model": name, "digest": digest(name), "rules": RULES_TEXT}
    record = {"format": 1, "id": f"w{number}", "verb": "deploy", "actor": ACTOR, "reason": reason, "time": 1_000}
    entry = world.raw(json.dumps({**record, "expected_epoch": expected, "args": args}).encode())
    assert entry.accepted, entry.refusal
    return entry


def test_the_newest_of_what_is_new_is_tried_and_older_ones_are_skipped() -> None:
    assert decided(World(), 1, 2, 3) == Try(version(3), "green", ("m:2",))


def test_nothing_is_new_where_the_newest_is_live() -> None:
    found = decided(World(), 1)
    assert isinstance(found, Nothing)
    assert "m:1, was tried as deployment 0" in found.why
    assert isinstance(decided(World()), Nothing)


def test_one_that_comes_during_a_rollout_waits_and_the_newest_wins_then() -> None:
    world = World()
    ours(world, 2)
    world.start()
    waits = decided(world, 1, 2, 3)
    assert isinstance(waits, Wait)
    assert waits.version == version(3)
    assert isinstance(decided(world, 1, 2, 3, 4), Wait)
    world.act("abort")
    assert decided(world, 1, 2, 3, 4) == Try(version(4), "green", ("m:3",))


def test_what_was_aborted_or_rolled_back_is_not_tried_again() -> None:
    for world in (aborted(), rolled_back()):
        assert isinstance(decided(world, 1, 2), Nothing)
        again = [version(1), version(2), Version("m:2b", digest("m:2"))]
        assert isinstance(decide(world.state, again, tried_in(world), {}), Nothing), "the same bytes, another name"


def test_a_skipped_one_is_never_tried_also_where_the_newer_one_is_gone() -> None:
    world = World()
    ours(world, 4, 2, 3)
    world.start()
    world.act("abort")
    assert isinstance(decided(world, 1, 2, 3), Nothing)
    assert decided(world, 1, 2, 3, 5) == Try(version(5), "green", ())


def test_what_another_one_called_skipped_is_no_word_of_ours() -> None:
    forged = World()
    forged.raw(forged.records[0][1])  # repeated: refused, so nothing was tried by it
    assert [each.deployment for each in tried_in(forged)] == [0]
    assert [each.skips for each in tried_in(World())] == [()]


def test_a_deploy_of_ours_that_was_not_begun_is_begun_by_the_next_process() -> None:
    world = World()
    ours(world, 2)
    assert decided(world, 1, 2, 3) == Start(world.state.candidate)  # type: ignore[arg-type] # it stands
    world.start()
    world.act("stop")
    assert isinstance(decided(world, 1, 2, 3), Wait), "a person stopped it"
    assert isinstance(decided(by_hand(), 1, 2, 3), Wait), "a person's candidate"


def test_what_could_not_be_deployed_is_said_and_not_asked_again() -> None:
    assert decided(World(), 1, 2, **{digest("m:2"): "no contract"}) == Wait(version(2), "no contract")


names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,60}:[a-z0-9][a-z0-9._-]{0,60}", fullmatch=True)


@given(names, st.lists(names, max_size=60))
def test_a_reason_says_what_is_skipped_and_fits(ref: str, skips: list[str]) -> None:
    said = reason_of(Version(ref, NEW), skips)
    assert len(said) <= MAX_TEXT
    read = skips_of(said)
    assert tuple(skips[len(skips) - len(read) :]) == read
    assert len(read) == len(skips) or len(said) > 1_500


@given(st.lists(st.integers(1, 9), unique=True, max_size=9), st.lists(st.integers(1, 9), max_size=4))
def test_unseen_are_exactly_those_behind_the_newest_known(numbers: list[int], known: list[int]) -> None:
    tried = [Tried(f"m:{number}", digest(f"m:{number}"), 0, False, ()) for number in known]
    new = [each.ref for each in unseen([version(number) for number in numbers], tried)]
    assert all(int(ref.partition(":")[2]) not in known for ref in new)
    assert new == [f"m:{number}" for number in numbers][len(numbers) - len(new) :]
    if len(new) < len(numbers):
        assert numbers[len(numbers) - len(new) - 1] in known


class Looks(RegistryWatch):
    """What each look finds, or raises."""

    def __init__(self, *found: News | StreambgError) -> None:
        self._found = list(found)
        self.over = threading.Event()

    def look(self) -> News:
        found = self._found.pop(0)
        if not self._found:
            self.over.set()
        if isinstance(found, StreambgError):
            raise found
        return found

    def told(self) -> list[News]:
        said: list[News] = []
        self.run(0.0, self.over, said.append)
        return said


def test_the_watch_says_what_is_new_once_and_outlives_what_the_next_look_may_mend() -> None:
    waits, other = News("waits", "m:2", "a rollout"), News("deployed", "m:2", "to green")
    down = Unreachable("no broker")
    assert Looks(waits, waits, down, down, waits, other).told() == [
        waits,
        News("failed", "", "no broker"),
        waits,
        other,
    ]
    with pytest.raises(UpgradeFirst):
        Looks(waits, UpgradeFirst("newer"), other).told()
