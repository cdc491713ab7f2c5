"""A worker's process: `python -m streambg.replaying.worker FOLDER ID PARTITIONS [--rate N]`; it says a JSON a line."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException

from streambg.config import load
from streambg.errors import StreambgError
from streambg.kafka.errors import translate
from streambg.models.importing import modules_beside
from streambg.process import logs
from streambg.replaying.place import Place
from streambg.replaying.pool import STOPPED
from streambg.replaying.reading import Stopped
from streambg.replaying.work import Worker


def main() -> int:
    """Replay these partitions of a plan that stands in the folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("id")
    parser.add_argument("partitions")
    parser.add_argument("--rate", type=float)
    asked = parser.parse_args()
    logs.configure("streambg", console=True, level="error")
    wished = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: wished.set())
    place = Place(asked.folder, asked.id)
    try:
        plan = place.plan()
        modules_beside(file := Path(plan.pipeline_file))  # `-m` puts the working directory before it
        pipeline = load(file, os.environ)
        worker = Worker(pipeline, plan, place, asked.rate, wished.is_set, lambda passed: _say(passed=passed))
        worker.run([int(number) for number in asked.partitions.split(",")])
    except Stopped:
        return STOPPED
    except KafkaException as error:
        return _failed(translate(error))
    except StreambgError as error:
        return _failed(error)
    return 0


def _failed(error: StreambgError) -> int:
    _say(error=type(error).__name__, what=error.what, way_out=error.way_out)
    return error.exit_code


def _say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
