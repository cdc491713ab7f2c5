"""The options every process of the pipeline takes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import stamina
from confluent_kafka import KafkaException

from streambg import topicplan
from streambg.config import IGNORE_RECORDS, Pipeline, load
from streambg.errors import StreambgError, Unreachable
from streambg.kafka import profiles
from streambg.kafka.errors import translate
from streambg.models.importing import modules_beside
from streambg.notifying.alarms import ALARMS
from streambg.process import logs, sites, slots
from streambg.process.frame import leave
from streambg.process.watch import WATCH
from streambg.topicplan import Role
from streambg.web.health import LOOPBACK, MAX_PORT, Endpoint

CTRL_C = 130


def parser(what: str, example: str, *, member: bool = True) -> argparse.ArgumentParser:
    """--pipeline, --metrics-port, --metrics-host, --log, --ignore-record; for members of a group --slot."""
    options = argparse.ArgumentParser(description=what, epilog=f"Example:  {example}")
    options.add_argument("-p", "--pipeline", type=Path, default=Path("pipeline.yaml"), help="the pipeline file")
    if member:
        options.add_argument(
            "--slot",
            default=slots.FREE,
            metavar="N",
            help="this member's place in its group: 0, 1, ...; `ordinal`: the number that the host's name ends in; "
            "`free` (the default): one that nobody has",
        )
    options.add_argument("--metrics-port", type=port, default=0, help="of /metrics and /healthz; 0: a free one")
    options.add_argument(
        "--metrics-host",
        default=LOOPBACK,
        metavar="ADDRESS",
        help="where they listen, for everybody who reaches it: 0.0.0.0 in a pod that Prometheus scrapes; "
        "loopback by default",
    )
    options.add_argument("--log", choices=["auto", "json", "console"], default="auto", help="form of the log lines")
    options.add_argument(
        "--ignore-record",
        type=int,
        action="append",
        default=[],
        metavar="OFFSET",
        help="pass this record of the control log (P5); give it to all processes, or name it in "
        f"{IGNORE_RECORDS} everywhere",
    )
    return options


def port(text: str) -> int:
    """A port to listen on, 0 for a free one. Raises ArgumentTypeError with what is wrong."""
    if text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_PORT)) and int(text) <= MAX_PORT:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port; write 1 to {MAX_PORT}, or 0 for a free one")


def endpoint(options: argparse.Namespace) -> Endpoint:
    """Where /metrics and /healthz are."""
    return Endpoint(options.metrics_port, options.metrics_host)


def _await_topics(pipeline: Pipeline, role: Role) -> None:
    """A process may start before its broker does. Raises Misconfigured where topics are missing or unequal.

    Only the role's own topics are asked for: it may not be allowed to see others.
    """
    for attempt in stamina.retry_context(on=Unreachable, attempts=None, timeout=None, wait_max=5.0):
        with attempt:
            topicplan.check(pipeline, topicplan.connect(pipeline), role)


def run(role: Role, options: argparse.Namespace, process: Callable[[Pipeline, int], int]) -> None:
    """Load the pipeline, take a slot (0 where there is no group), run, and leave with the code of what went wrong."""
    logs.configure(role, console=None if options.log == "auto" else options.log == "console")
    WATCH.start()
    try:
        modules_beside(options.pipeline)
        pipeline = load(options.pipeline, os.environ, options.ignore_record)
        _await_topics(pipeline, role)
        slot = 0
        if "slot" in options:
            slot = slots.chosen(options.slot, sites.slots(pipeline, role), profiles.admin(pipeline))
        ALARMS.begin(pipeline, role, slot if "slot" in options else None)
        code = process(pipeline, slot)
    except (StreambgError, KafkaException) as raised:
        error = translate(raised) if isinstance(raised, KafkaException) else raised
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        code = error.exit_code
    except KeyboardInterrupt:  # before the process's own loop listens to signals
        code = CTRL_C
    leave(code)
