"""The check of Redis, where the answers wait for their labels. Pure."""

from __future__ import annotations

from streambg.doctor.facts import Facts, Wanted
from streambg.doctor.finding import Finding, Verdict, ok

KEEPS_ALL = "noeviction"
MB = 1024 * 1024


def redis(facts: Facts, _wanted: Wanted) -> list[Finding]:
    """Redis forgets no answer that waits for its label."""
    memory = facts.redis
    if memory is None:
        return [ok("redis", "this pipeline has no labels: nothing waits in it")]
    if memory.problem:
        breaks, mend = "no label is read while it is away (P33)", "start it, or correct `redis` in the pipeline file"
        return [Finding(Verdict.WARNING, "redis", memory.problem, "an answer", breaks, mend)]
    room = f"maxmemory {memory.limit // MB:,} MB" if memory.limit else "no maxmemory"
    measured = f"maxmemory-policy {memory.policy}, {room}"
    if memory.limit and memory.policy != KEEPS_ALL:
        mend = f"redis-cli CONFIG SET maxmemory-policy {KEEPS_ALL}, and the same in redis.conf"
        breaks = "answers are gone before their labels come, and those are counted as orphans (P33)"
        return [Finding(Verdict.WARNING, "redis", measured, KEEPS_ALL, breaks, mend)]
    return [ok("redis", measured)]
