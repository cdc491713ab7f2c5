"""One measured loop in a process of its own: `python -m streambg.bench.child NAME ARGUMENTS-AS-JSON`.

The window that it measured is its last line, as JSON; what went wrong ends it with a traceback in its log.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict

from streambg.bench import offline, raw
from streambg.process.frame import GC_THRESHOLDS, leave

LOOPS: Mapping[str, Callable[..., raw.Window]] = {
    "consume": raw.consume,
    "copy": raw.copy,
    "copy_transactional": raw.copy_transactional,
    "copy_plain": raw.copy_plain,
    "copy_transactional_plain": raw.copy_transactional_plain,
    "read_all": raw.read_all,
    "audit": offline.audit,
    "merge": offline.merge,
    "replay": offline.replay,
}


def main() -> None:
    name, arguments = sys.argv[1:]
    gc.set_threshold(*GC_THRESHOLDS)  # the raw loops get what the product gives itself
    window = LOOPS[name](**json.loads(arguments))
    sys.stdout.write(json.dumps(asdict(window)) + "\n")
    leave(0)


if __name__ == "__main__":
    main()
