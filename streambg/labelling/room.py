"""The waiting room: both colors' answers in Redis under their label's key, until the label comes.

Of each pair, `streambg:<pipeline>:labels:<blue>.<green>` is a hash that says how far the room is filled (below); and
`...:<cohort>.<slot>` are the rows, small hashes: 8 bytes of the key's digest -> the row, digest and `!` -> the mark of
its first label. A row expires a horizon and some slack after it was written.

    p<partition>  Filled: rows of this input partition; before that a claim    written by who compares it
    q<partition>  labels of this partition before that offset are marked       written by who reads them
    n<partition>  this label partition needs rows from that time on, ms        ... where Filled does not reach back

Every write of rows or marks is a script that first compares the field with what its writer wrote last; every look for
rows brings the whole hash of the same moment along. So a Redis that was emptied, or came back older, is noticed by
whoever asks next, and nothing is ever decided on rows that may be gone (P33). All of it can be made again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio

from streambg.comparing.pair import Pair
from streambg.labelling.filling import Filled, claim, lives_ms
from streambg.labelling.matching import Candidate, Mark, decode_mark
from streambg.labelling.rows import ORDER_BYTES, Place, Waiting

# Rows a script: Redis does nothing else for half a millisecond.
AT_ONCE = 256

# KEYS: the room. ARGV: field, its value expected ('': none), its new value, ms to live, prefix; then suffix, digest and
# row each.
# Of two events with one key the first one stays: the bytes that order them are compared from the left.
_FILL = f"""
local function sooner(a, b)
  for i = 1, {ORDER_BYTES} do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return false
end
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
for i = 6, #ARGV, 3 do
  local key = ARGV[5] .. ARGV[i]
  if redis.call('HSETNX', key, ARGV[i + 1], ARGV[i + 2]) == 0 then
    if sooner(ARGV[i + 2], redis.call('HGET', key, ARGV[i + 1])) then
      redis.call('HSET', key, ARGV[i + 1], ARGV[i + 2])
    end
  end
  redis.call('PEXPIRE', key, ARGV[4])
end
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return 1
"""

# KEYS: the room. ARGV: prefix; then digest, slot, first and last cohort each. The room, then for each what was found:
# cohort, row and mark ('' for none).
_LOOK = """
local out = {redis.call('HGETALL', KEYS[1])}
for i = 2, #ARGV, 4 do
  local found = {}
  for cohort = tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]) do
    local key = string.format('%s%.0f.%s', ARGV[1], cohort, ARGV[i + 1])
    local got = redis.call('HMGET', key, ARGV[i], ARGV[i] .. '!')
    if got[1] then
      found[#found + 1] = string.format('%.0f', cohort)
      found[#found + 1] = got[1]
      found[#found + 1] = got[2] or ''
    end
  end
  out[#out + 1] = found
end
return out
"""

# KEYS: the room. ARGV: field, its value expected, its new value, ms to live, prefix; then suffix, digest, mark each.
_MARK = """
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
for i = 6, #ARGV, 3 do
  local key = ARGV[5] .. ARGV[i]
  -- a row may have expired since it was looked at: its mark alone would stay for ever
  if redis.call('EXISTS', key) == 1 then redis.call('HSET', key, ARGV[i + 1] .. '!', ARGV[i + 2]) end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
"""


class OtherRoom(Exception):
    """The room is not as its writer left it: look at it again before anything else."""


@dataclass(frozen=True, slots=True)
class State:
    """The room's hash at one moment: raw values by field."""

    raw: Mapping[bytes, bytes] = field(default_factory=dict)

    def filled(self, partition: int) -> Filled | None:
        """None: nothing is said yet."""
        raw = self.raw.get(b"p%d" % partition)
        return None if raw is None else Filled.decode(raw)

    def marked(self, partition: int) -> int | None:
        """The label offset below which every first label has its mark."""
        raw = self.raw.get(b"q%d" % partition)
        return None if raw is None else int(raw)

    def needed(self, label_partition: int) -> int | None:
        """The time that this one said it needs rows from; ms."""
        raw = self.raw.get(b"n%d" % label_partition)
        return None if raw is None else int(raw)

    def needed_since(self) -> int | None:
        """The earliest time that a label partition needs rows from, and has not; ms."""
        return min((int(raw) for name, raw in self.raw.items() if name[:1] == b"n"), default=None)


class Room:
    """One pair's. Raises redis.RedisError and OSError where Redis does not answer; OtherRoom as above."""

    def __init__(self, client: redis.asyncio.Redis, pipeline: str, pair: Pair, horizon_ms: int, width: int) -> None:
        self._client = client
        self._name = f"streambg:{pipeline}:labels:{pair.blue}.{pair.green}".encode()
        self._prefix = self._name + b":"
        self.lives_ms = lives_ms(horizon_ms, width)

    async def state(self) -> State:
        return State(await self._ask(self._client.hgetall(self._name.decode())))

    async def claim(self, partition: int, at_ms: int) -> bytes:
        """Of a field that is empty, before any rows; its new bytes."""
        after = claim(at_ms)
        await self._write(_FILL, b"p%d" % partition, b"", after, ())
        return after

    async def fill(self, partition: int, before: bytes, filled: Filled, rows: Sequence[Waiting]) -> bytes:
        """Rows, and then how far they reach; the field's new bytes. before: its bytes as this writer left them."""
        whole = len(rows) // AT_ONCE * AT_ONCE
        await self.put(partition, before, rows[:whole])
        after = filled.encode()
        await self._write(_FILL, b"p%d" % partition, before, after, rows[whole:])
        return after

    async def put(self, partition: int, before: bytes, rows: Sequence[Waiting]) -> None:
        """Rows that the field does not count yet."""
        for first in range(0, len(rows), AT_ONCE):
            await self._write(_FILL, b"p%d" % partition, before, before, rows[first : first + AT_ONCE])

    async def _write(self, script: str, name: bytes, before: bytes, after: bytes, rows: Sequence[Waiting]) -> None:
        values = [
            part for row in rows for part in (b"%d.%d" % (row.cohort, row.place.slot), row.place.digest, row.value)
        ]
        head = [name, before, after, str(self.lives_ms).encode(), self._prefix]
        if not await self._ask(self._client.eval(script, 1, self._name, *head, *values)):
            raise OtherRoom(name.decode())

    async def look(self, asks: Sequence[tuple[Place, tuple[int, int]]]) -> tuple[State, list[list[Candidate]]]:
        """The room, and what waits in it for each place and span of cohorts, of one moment."""
        values = [part for place, (low, high) in asks for part in (place.digest, place.slot, low, high)]
        room, *found = await self._ask(self._client.eval(_LOOK, 1, self._name, self._prefix, *values))
        state = State(dict(zip(room[::2], room[1::2], strict=True)))
        return state, [_candidates(each) for each in found]

    async def mark(
        self, partition: int, before: bytes, position: int, marks: Sequence[tuple[int, Place, Mark]]
    ) -> bytes:
        """First labels of their events; the field's new bytes: labels below `position` are marked."""
        after = b"%d" % position
        rows = [Waiting(cohort, place, mark.encode()) for cohort, place, mark in marks]
        await self._write(_MARK, b"q%d" % partition, before, after, rows)
        return after

    async def need(self, partition: int, since_ms: int | None) -> None:
        """Say that rows from this time on are needed; None: no longer."""
        name = f"n{partition}"
        if since_ms is None:
            await self._ask(self._client.hdel(self._name.decode(), name))
        else:
            await self._ask(self._client.hset(self._name.decode(), name, str(since_ms)))

    @staticmethod
    async def _ask(answer: Any) -> Any:
        """The client's own types allow an answer that is no awaitable, which this client never gives."""
        return await answer


def _candidates(found: Sequence[bytes]) -> list[Candidate]:
    return [
        Candidate(int(found[at]), found[at + 1], decode_mark(found[at + 2]) if found[at + 2] else None)
        for at in range(0, len(found), 3)
    ]
