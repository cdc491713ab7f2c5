"""The way back: where the publisher stands, for the old service's group to go on from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient

from streambg.adopting import group as groups
from streambg.adopting.takeover import NAMED, Member
from streambg.config import Pipeline
from streambg.control.state import ControlState, Phase
from streambg.errors import Gap, Refused
from streambg.kafka import profiles
from streambg.process import sites
from streambg.publishing import resume
from streambg.publishing.facts import read_facts
from streambg.publishing.fencing import fence_the_dead
from streambg.publishing.forgotten import Undecided
from streambg.publishing.resume import Facts

# Above every offset: which predictions are left does not matter to who goes on without them.
EVERYTHING = 2**62


@dataclass(frozen=True, slots=True)
class Back:
    """One partition: the group's offset as it stands, and the first source offset that nobody has answered."""

    partition: int
    committed: int | None
    next: int


def first_unanswered(facts: Facts, state: ControlState) -> int:
    """Where the next publisher would go on, so the old service can (P25, P27). Pure. Raises Gap where nobody knows."""
    return resume.plan(replace(facts, log=dict.fromkeys(facts.log, (0, EVERYTHING))), state).settled + 1


def survey(pipeline: Pipeline, group: str, state: ControlState) -> list[Back]:
    """End what publishers of this pipeline have open, then read where they stand.

    Raises Refused while a publisher or the old service is a member of its group, or somebody else's open transaction
    hides what was published; Gap, Unreachable, Denied, Forgotten.
    """
    if state.phase is Phase.EMPTY:
        raise Refused(
            "nothing was ever deployed in this pipeline: there is nothing to give back",
            way_out="is this the pipeline file of the service that was taken over?",
        )
    site = sites.publisher(pipeline, 0)
    admin = AdminClient({**site.admin, **groups.QUIET})
    for name, who in ((site.group, "the publishers"), (group, "the old service")):
        _require_nobody(name, who, groups.members(admin, name))
    # what a killed publisher left open must not appear behind what is read now
    fence_the_dead(site, site.all_transactional_ids)
    config = groups.reader(pipeline, group)
    reader = Consumer({**profiles.reader(pipeline, groups.CLIENT, group=site.group), **groups.QUIET})
    try:
        numbers = range(len(reader.list_topics(site.input, groups.COMMITTED_TIMEOUT_S).topics[site.input].partitions))
        facts = read_facts(site, admin, reader, numbers, state, _refuse, alone=True)
    except Undecided as error:
        raise Refused(error.what, way_out=f"{error.way_out}; then again") from None
    finally:
        reader.close()
    before = groups.committed(config, group, site.input, len(numbers))
    return [Back(each.partition, before.get(each.partition), first_unanswered(each, state)) for each in facts]


def give_back(pipeline: Pipeline, group: str, state: ControlState, backs: Sequence[Back]) -> None:
    """Let the group go on there. Raises Refused, Denied, Unreachable."""
    words = f"given back by streambg pipeline {pipeline.name} at epoch {state.epoch}"
    positions = {back.partition: back.next for back in backs}
    groups.commit(groups.reader(pipeline, group), group, pipeline.topics.input, positions, words)


def _refuse(hidden: str) -> None:
    raise Gap(
        f"{hidden}: whoever goes on behind them may leave them unseen for ever",
        way_out="start the publishers again: the next commit of who wrote them there shows them, an abort loses them. "
        "Stop once `streambg audit` misses nothing; then again",
    )


def _require_nobody(name: str, who: str, members: Sequence[Member]) -> None:
    if members:
        raise Refused(
            f"the group {name} must have no members, it has {len(members)}: {', '.join(map(str, members[:NAMED]))}",
            way_out=f"stop {who}; one that was killed leaves the group after its session timeout",
        )
