"""The comparator, a Faust app: `faust -A consumers.comparator worker`, or `python -m consumers.comparator --slot 0`.

Under `faust` the options come from the environment: STREAMBG_PIPELINE (pipeline.yaml), STREAMBG_SLOT (0; or a word),
STREAMBG_METRICS_PORT (0: a free one), STREAMBG_METRICS_HOST (loopback).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from consumers.options import endpoint, parser, run
from streambg.comparing.app import ComparatorApp, create_app, work
from streambg.comparing.site import site_of
from streambg.config import Pipeline, load
from streambg.errors import StreambgError
from streambg.kafka import profiles
from streambg.models.importing import modules_beside
from streambg.notifying.alarms import ALARMS
from streambg.process import logs, sites, slots
from streambg.process.watch import WATCH
from streambg.web.health import LOOPBACK, Endpoint


def comparator(pipeline: Pipeline, slot: int, metrics: Endpoint) -> ComparatorApp:
    return create_app(
        site_of(pipeline, slot),
        lambda: sites.follower(pipeline, f"comparator.{slot}"),
        metrics,
    )


def from_environment(env: Mapping[str, str]) -> ComparatorApp:
    logs.configure("comparator")
    WATCH.start()
    modules_beside(file := Path(env.get("STREAMBG_PIPELINE", "pipeline.yaml")))
    pipeline = load(file, env)
    slot = slots.chosen(env.get("STREAMBG_SLOT", "0"), sites.slots(pipeline, "comparator"), profiles.admin(pipeline))
    ALARMS.begin(pipeline, "comparator", slot)
    return comparator(
        pipeline,
        slot,
        Endpoint(int(env.get("STREAMBG_METRICS_PORT", "0")), env.get("STREAMBG_METRICS_HOST") or LOOPBACK),
    )


def main() -> None:
    options = parser(
        "Compares what both colors answered, event by event, and keeps the evidence.",
        "python -m consumers.comparator --slot 0",
    )
    chosen = options.parse_args()
    run(
        "comparator",
        chosen,
        lambda pipeline, slot: work(comparator(pipeline, slot, endpoint(chosen))),
    )


def __getattr__(name: str) -> ComparatorApp:
    """`app`, made when `faust -A` asks for it: importing this module reads no file."""
    if name != "app":
        raise AttributeError(name)
    try:
        return from_environment(os.environ)
    except StreambgError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
