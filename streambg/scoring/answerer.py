"""A loaded model with its pipeline's decoding and checks: one poll in, answers out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from streambg.control.state import Deployment
from streambg.models.answering import answer_rows
from streambg.models.contract import Model, Row, Schema
from streambg.models.decoding import decoder
from streambg.models.features import FeatureCheck
from streambg.models.registry import Registry
from streambg.scoring.batching import Polled, Scored, carry_columns, of_kept, sampled

Decode = Callable[[Sequence[bytes | None]], list[Row | str]]


@dataclass(frozen=True, slots=True)
class Fields:
    """Event fields the pipeline itself reads: those that travel with the answer, and the one buckets hash (P13)."""

    carry: tuple[str, ...]
    bucket: str | None


class Answerer:
    """Scores polls for one deployment."""

    def __init__(
        self, deployment: int, model: Model, schema: Schema, decode: Decode, fields: Fields, topic: str
    ) -> None:
        self.deployment = deployment
        self._model = model
        self._schema = schema
        self._check = FeatureCheck(schema.features)
        self._decode = decode
        self._fields = fields
        self._topic = topic

    def score(self, polled: Polled, partition: int, sample: int | None) -> Scored:
        """Every event one answer; with a sample (hundredths of a percent of the keys) only the lowest buckets (P9)."""
        rows = self._decode(polled.values)
        kept = None
        if sample is not None:
            kept = sampled(rows, polled, sample, self.deployment, self._fields.bucket, self._topic, partition)
        chosen = of_kept(rows, kept)
        # before the model sees the rows: what travels beside its answer is the event's, whatever the model does to them
        carry = carry_columns(chosen, self._fields.carry)
        started = time.perf_counter()
        answered = answer_rows(
            self._model,
            chosen,
            of_kept(polled.keys, kept),
            np.array(of_kept(polled.times, kept), np.int64),
            self._schema,
            self._check,
        )
        spent = int((time.perf_counter() - started) * 1e6)
        return Scored(polled, answered, carry, kept, int(time.time() * 1_000), spent)


def load_answerer(registry: Registry, deployment: Deployment, carry: tuple[str, ...], topic: str) -> Answerer:
    """The deployment's model, by the rules that it carries, not by this process's file (P4). Raises ModelError."""
    rules = deployment.rules
    loaded = registry.load(deployment.model, deployment.digest)
    schema = loaded.manifest.schema_of(rules.decision.output if rules.decision else None, rules.decision_threshold)
    decode = decoder(rules.decode, registry.policy().python_allow)
    more = () if rules.bucket_field is None or rules.bucket_field in carry else (rules.bucket_field,)
    return Answerer(deployment.id, loaded.model, schema, decode, Fields((*carry, *more), rules.bucket_field), topic)
