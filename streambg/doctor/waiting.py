"""The check of Redis, where the answers wait for their labels. Pure."""

from __future__ import annotations

from math import ceil

from streambg.config.values import show_duration
from streambg.doctor.facts import Facts, Redis, Waiting, Wanted
from streambg.doctor.finding import Finding, Verdict, ok

KEEPS_ALL = "noeviction"
MB = 1024 * 1024
# Of what is asked for beyond what is needed: Redis' own buffers, the live view, an hour busier than the last.
ROOM = 1.25


def redis(facts: Facts, wanted: Wanted) -> list[Finding]:
    """Redis forgets no answer that waits for its label, and has room for all of them."""
    memory = facts.redis
    if memory is None:
        return [ok("redis", "this pipeline has no labels: nothing waits in it")]
    if memory.problem:
        breaks, mend = "no label is read while it is away (P33)", "start it, or correct `redis` in the pipeline file"
        return [Finding(Verdict.WARNING, "redis", memory.problem, "an answer", breaks, mend)]
    measured = f"maxmemory-policy {memory.policy}, {_room(memory)}"
    if memory.limit and memory.policy != KEEPS_ALL:
        mend = f"redis-cli CONFIG SET maxmemory-policy {KEEPS_ALL}, and the same in redis.conf"
        breaks = "answers are gone before their labels come, and those are counted as orphans (P33)"
        return [Finding(Verdict.WARNING, "redis", measured, KEEPS_ALL, breaks, mend)]
    rate = facts.rate if wanted.rate is None else wanted.rate
    if facts.waiting is None or rate is None:
        return [ok("redis", f"{measured}; nothing is written to the input yet: --rate says how much will be")]
    return [_sized(memory, facts.waiting, rate, measured, "expected" if wanted.rate is not None else "measured")]


def _room(memory: Redis) -> str:
    if memory.limit:
        return f"maxmemory {memory.limit // MB:,} MB"
    return f"no maxmemory, {memory.machine // MB:,} MB in the machine" if memory.machine else "no maxmemory"


def _sized(memory: Redis, waiting: Waiting, rate: float, measured: str, how: str) -> Finding:
    """The arithmetic of docs/operations.md, "Memory for labels"."""
    needs, has = waiting.needs(rate), memory.limit or memory.machine
    sampled = f" x a sample of {waiting.sample:.2%}" if waiting.sample < 1 else ""
    sum_of = (
        f"{rate:,.0f} events/s ({how}) x {show_duration(waiting.lives_ms)} x {waiting.row_bytes} bytes{sampled} are "
        f"{'' if waiting.packed else 'at least '}{ceil(needs / MB):,} MB"
    )
    if not has or needs <= has:
        return ok("redis", f"{measured}; {sum_of}")
    if memory.limit:
        breaks = "Redis takes no more rows when it is full: no label is counted until others have expired (P33)"
        mend = f"redis-cli CONFIG SET maxmemory {ceil(needs * ROOM / MB)}mb, and the same in redis.conf"
    else:
        breaks = "the machine runs out of memory: where Redis is killed, labels wait until all is read again (P33)"
        mend = f"a machine with {ceil(needs * ROOM / MB):,} MB for Redis"
    share = max(0.01, int(waiting.sample * has / (needs * ROOM) * 10_000) / 100)  # in percent; no weight is smaller
    return Finding(
        Verdict.WARNING,
        "redis",
        f"{measured}; {sum_of}",
        f"{ceil(needs / MB):,} MB",
        breaks,
        f"{mend}; or fewer labels: `sample: {share:g}%` in `labels`, with the next deploy",
    )
