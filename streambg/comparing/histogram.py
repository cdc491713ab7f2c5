"""Histograms with fixed edges: counts add up exactly over batches, restarts and partitions (P32).

The buckets are those of a float's own bits: each power of two is cut into 32 equal parts, so a bucket is at most
1/32 of its value wide (3.1 %), at every scale, and finding it is a shift.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SUB_BITS = 5
_SHIFT = 52 - SUB_BITS  # a float64 has 52 bits of mantissa
_BIAS = 1023  # and this is exponent 0


@dataclass(frozen=True, slots=True)
class Scale:
    """Buckets for magnitudes from 2**lowest to 2**highest; below is one bucket (zero), above another.

    signed: the same buckets again for negative values, mirrored about zero.
    """

    lowest: int
    highest: int
    signed: bool

    @property
    def magnitudes(self) -> int:
        return ((self.highest - self.lowest) << SUB_BITS) + 2

    @property
    def size(self) -> int:
        return 2 * self.magnitudes - 1 if self.signed else self.magnitudes

    def buckets(self, values: Floats) -> Ints:
        """int64 (n,), ascending with the value. Values are finite; negative ones only where signed."""
        bits = np.ascontiguousarray(np.abs(values)).view(np.int64) >> _SHIFT
        magnitude: Ints = np.clip(bits - (((_BIAS + self.lowest) << SUB_BITS) - 1), 0, self.magnitudes - 1)
        if not self.signed:
            return magnitude
        signed: Ints = np.where(values < 0, -magnitude, magnitude) + (self.magnitudes - 1)
        return signed

    def edges(self, bucket: int) -> tuple[float, float]:
        """Lower and upper edge; the outermost ones end where the scale ends."""
        if self.signed and bucket < self.magnitudes - 1:
            low, high = self.edges(2 * (self.magnitudes - 1) - bucket)
            return -high, -low
        magnitude = bucket - (self.magnitudes - 1) if self.signed else bucket
        top = self.magnitudes - 1
        return (self._edge(magnitude) if magnitude else 0.0), self._edge(min(magnitude + 1, top))

    def _edge(self, magnitude: int) -> float:
        bits = (magnitude - 1 + ((_BIAS + self.lowest) << SUB_BITS)) << _SHIFT
        return float(np.array(bits, np.int64).view(np.float64))

    def middle(self, bucket: int) -> float:
        """The value a bucket stands for; zero for the bucket at zero."""
        if bucket == (self.magnitudes - 1 if self.signed else 0):
            return 0.0
        low, high = self.edges(bucket)
        return (low + high) / 2


# Scores and their differences: 2**-20 (1e-6) is finer than any margin a person declares and is also the step of the
# exact sums; 2**31 holds every count or amount of money a model answers with. A probability uses 640 buckets.
SCORES = Scale(-20, 31, signed=True)
# Milliseconds, from 1 to 2**30 (12 days).
LATENCY_MS = Scale(0, 30, signed=False)
# Below this many values adding one by one is cheaper than adding whole arrays.
_FEW = 64


class Histogram:
    """Counts by bucket, int64 (scale.size,)."""

    __slots__ = ("counts", "scale")

    def __init__(self, scale: Scale, counts: Ints | None = None) -> None:
        self.scale = scale
        self.counts: Ints = np.zeros(scale.size, np.int64) if counts is None else counts

    def add(self, values: Floats) -> None:
        buckets = self.scale.buckets(values)
        if len(buckets) < _FEW:
            np.add.at(self.counts, buckets, 1)
        else:
            self.counts += np.bincount(buckets, minlength=self.scale.size)

    def plus(self, other: Histogram) -> Histogram:
        return Histogram(self.scale, self.counts + other.counts)

    def mirrored(self) -> Histogram:
        """Of the negated values: `green - blue` as `blue - green`."""
        return Histogram(self.scale, self.counts[::-1].copy())

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    def quantile(self, q: float) -> float | None:
        """The middle of the bucket that holds the value of rank ceil(q n); None where there are no values."""
        total = self.total
        if total == 0:
            return None
        rank = max(1, int(np.ceil(q * total)))
        return self.scale.middle(int(np.searchsorted(np.cumsum(self.counts), rank)))

    def sparse(self) -> tuple[bytes, bytes]:
        """The buckets that hold something and their counts, as little-endian int32 and int64: what is stored."""
        filled = np.flatnonzero(self.counts)
        return filled.astype("<i4").tobytes(), self.counts[filled].astype("<i8").tobytes()

    @staticmethod
    def from_sparse(scale: Scale, filled: bytes, counts: bytes) -> Histogram:
        """Raises ValueError where the bytes do not fit the scale."""
        at, values = np.frombuffer(filled, "<i4"), np.frombuffer(counts, "<i8")
        if len(at) != len(values) or (len(at) and (at.min() < 0 or at.max() >= scale.size or values.min() < 0)):
            raise ValueError(f"a histogram of {len(at)} buckets with {len(values)} counts")
        histogram = Histogram(scale)
        histogram.counts[at] = values
        return histogram
