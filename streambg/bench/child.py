"""One measured loop in a process of its own: `python -m streambg.bench.child NAME ARGUMENTS-AS-JSON`.

What it measured, a window or figures, is its last line, as JSON; what went wrong ends it with a traceback in its log.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict

from streambg.bench import evidence, offline, raw
from streambg.bench.result import Figures
from streambg.process.frame import GC_THRESHOLDS, leave

LOOPS: Mapping[str, Callable[..., raw.Window | Figures]] = {
    "consume": raw.consume,
    "copy": raw.copy,
    "copy_transactional": raw.copy_transactional,
    "copy_plain": raw.copy_plain,
    "copy_transactional_plain": raw.copy_transactional_plain,
    "read_all": raw.read_all,
    "audit": offline.audit,
    "merge": offline.merge,
    "replay": offline.replay,
    "evidence": evidence.cost,
}


def main() -> None:
    name, arguments = sys.argv[1:]
    gc.set_threshold(*GC_THRESHOLDS)  # the raw loops get what the product gives itself
    found = LOOPS[name](**json.loads(arguments))
    sys.stdout.write(json.dumps(asdict(found) if isinstance(found, raw.Window) else found) + "\n")
    leave(0)


if __name__ == "__main__":
    main()
