"""Retrains on what the pipeline recorded, puts the model into the registry, validates and deploys it.

    python examples/cicd/retrain.py --events 50000

Reads the newest events of the input and their labels, as a reader without a group: nothing of the pipeline is touched.
What is live stays live until the new model has proved itself, on history and then in the rollout. Ends with the exit
code of promote.sh.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient
from river import tree

from streambg.config import Pipeline, load
from streambg.control.verbs import partitions_of_input
from streambg.kafka import admin, profiles
from streambg.kafka.newest import read_newest
from streambg.models.registry import NewVersion, Registry

HERE = Path(__file__).parent
TOO_FEW = 1


def main() -> int:
    """Train, add, promote; the exit code."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("-p", "--pipeline", type=Path, default=Path("pipeline.yaml"), help="the pipeline file")
    options.add_argument("--name", default="shuttle", help="of the model")
    options.add_argument("--events", type=int, default=50_000, help="the newest of the input")
    options.add_argument("--fewest", type=int, default=1_000, help="labelled events below which nothing is trained")
    chosen = options.parse_args()

    config = load(chosen.pipeline, os.environ)
    model, rows, right = train(labelled(config, chosen.events))
    if rows < chosen.fewest:
        sys.stderr.write(f"{rows} events have a label, {chosen.fewest} are needed\n")
        return TOO_FEW
    ref = add(config, chosen.name, model, rows, right)
    sys.stderr.write(f"{ref}: learnt from {rows:,} labelled events, {right / rows:.2%} right while learning\n")
    return subprocess.run([HERE / "promote.sh", ref], check=False).returncode


def labelled(config: Pipeline, count: int) -> Iterator[tuple[dict[str, float], bool]]:
    """Features and label of each recorded event that has one, in the order of the events."""
    labels = config.labels
    if labels is None:
        raise SystemExit(f"{config.file} declares no labels")
    reader = profiles.reader(config, "streambg.retrain")
    found = admin.describe(AdminClient(profiles.admin(config)), [labels.topic])
    known = {}
    for record in read_newest(reader, labels.topic, found[labels.topic].partitions, count):
        said = fields(record.value)
        if isinstance(key := said.get(labels.key), str | int):
            known[key] = said.get(labels.value)
    for event in read_newest(reader, config.input.topic, partitions_of_input(config), count):
        row = fields(event.value)
        key = row.get(labels.key)
        label = known.get(key) if isinstance(key, str | int) else None
        if label is not None and all(isinstance(row.get(name), int | float) for name in config.model.features):
            yield {name: row[name] for name in config.model.features}, bool(label)


def fields(value: bytes | None) -> dict[str, Any]:
    """A record's JSON object; nothing where it is none."""
    try:
        said = json.loads(value or b"")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def train(rows: Iterator[tuple[dict[str, float], bool]]) -> tuple[Any, int, int]:
    """The model, from how many rows, and on how many of them it was right before it learnt them."""
    model: Any = tree.HoeffdingTreeClassifier(grace_period=100, splitter=tree.splitter.HistogramSplitter())
    seen = right = 0
    for features, label in rows:
        right += (model.predict_proba_one(features).get(True, 0.0) >= 0.5) == label
        model.learn_one(features, label)
        seen += 1
    return model, seen, right


def add(config: Pipeline, name: str, model: Any, rows: int, right: int) -> str:
    """Put it into the registry under the next number; its `name:version`."""
    registry = Registry(config.registry)
    taken = [listed.ref.partition(":")[2] for listed in registry.list() if listed.ref.startswith(f"{name}:")]
    number = 1 + max((int(version) for version in taken if version.isdecimal()), default=0)
    manifest = registry.add(
        NewVersion(
            f"{name}:{number}",
            "river",
            dict(config.model.features),
            tuple(config.model.outputs),
            datetime.now(UTC),
            artifact=pickle.dumps(model, protocol=5),
            artifact_name="model.pickle",
            training=f"{rows} labelled events of {config.input.topic}",
            metrics={"accuracy_while_learning": round(right / rows, 4), "rows": rows},
        )
    )
    return manifest.ref


if __name__ == "__main__":
    sys.exit(main())
