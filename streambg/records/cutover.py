"""The cutover record and the metadata of committed positions: what a publisher's transaction says about itself."""

from __future__ import annotations

import msgspec

from streambg.records.coverage import Coverage
from streambg.records.foreign import decoded


class Cutover(msgspec.Struct, frozen=True, omit_defaults=True):
    """From `first` on (a source offset of `partition`), `epoch` decides; until the next cutover (P19).

    The first record of a partition holds the origin: the first source offset owed; the guarantee begins there (P27).
    """

    partition: int
    epoch: int
    first: int
    topic_id: str
    cluster_id: str
    origin: int | None = None
    format: int = 1

    @property
    def key(self) -> bytes:
        return b"%d/%d" % (self.partition, self.epoch)


class Superseded(msgspec.Struct, frozen=True):
    """How far the `supersede` at `epoch` is carried out in a partition (P36): up to the source offset `superseded`.

    Stands among the cutovers, written in the transaction of the records it tells of. written: how many those are, from
    the command's beginning here.
    """

    partition: int
    epoch: int
    superseded: int
    written: int
    format: int = 1

    @property
    def key(self) -> bytes:
        return b"%d/%d/superseded" % (self.partition, self.epoch)


class _Kind(msgspec.Struct):
    superseded: int | None = None


def encode_cutover(record: Cutover | Superseded) -> bytes:
    return msgspec.json.encode(record)


_cutovers = msgspec.json.Decoder(Cutover)


_superseded = msgspec.json.Decoder(Superseded)
_kinds = msgspec.json.Decoder(_Kind)


def decode_cutover(data: bytes) -> Cutover | Superseded:
    """Either of what stands in the cutovers topic. Raises ValueError where the bytes are neither."""
    superseded = decoded(_kinds.decode, data).superseded
    return _cutovers.decode(data) if superseded is None else _superseded.decode(data)


class PublisherPosition(msgspec.Struct, frozen=True, array_like=True):
    """Metadata of a publisher's committed position of one color's predictions (P26).

    deployment (-1: none) and covered (None: nothing accepted) are the fold's state at this position, so the fold
    after a restart equals the fold before it; settled and epoch are the partition's; transactional_id is
    who wrote it (P24 fences the dead by it). rules: `Rules.short` of the writer's own pipeline file, for `status` to
    compare (P4); "" from a version that did not say it.
    """

    settled: int
    epoch: int
    transactional_id: str
    deployment: int
    covered: int | None
    sample_upto: int
    rules: str = ""

    @property
    def coverage(self) -> Coverage | None:
        """The fold's state at this position; None where there was no deployment."""
        return Coverage(self.deployment, self.covered, self.sample_upto) if self.deployment >= 0 else None


class ScorerPosition(msgspec.Struct, frozen=True, array_like=True):
    """Metadata of a scorer's committed position: whose answers reach there (P11), and the fold of its own topic.

    `checked` is the next offset of the color's predictions partition that the fold reads, `covered` its
    state there (P8). `rules` as in a publisher's.
    """

    deployment: int
    checked: int
    covered: int
    rules: str = ""


_publisher = msgspec.json.Decoder(PublisherPosition)
_scorer = msgspec.json.Decoder(ScorerPosition)


def encode_position(position: PublisherPosition | ScorerPosition) -> str:
    return msgspec.json.encode(position).decode()


def decode_publisher_position(metadata: str | None) -> PublisherPosition | None:
    """None where the position was not committed by a streambg publisher."""
    try:
        return decoded(_publisher.decode, metadata or "")
    except ValueError:
        return None


def decode_scorer_position(metadata: str | None) -> ScorerPosition | None:
    """None where the position was not committed by a streambg scorer."""
    try:
        return decoded(_scorer.decode, metadata or "")
    except ValueError:
        return None
