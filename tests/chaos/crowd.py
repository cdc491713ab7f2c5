"""Many people at once: `python -m chaos.crowd 50 promote --force ...` types it in so many processes at one moment.

They are forked behind the imports and wait for one pipe to close, so that all commands meet in the log. The last line
of stdout lists their exit codes.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

from streambg.cli.main import main as verbs


def main() -> int:
    count, words = int(sys.argv[1]), sys.argv[2:]
    import_module("streambg.cli.control")
    gate, go = os.pipe()
    people = [_person(gate, go, words) for _ in range(count)]
    os.close(go)
    codes = [os.waitstatus_to_exitcode(os.waitpid(person, 0)[1]) for person in people]
    sys.stdout.write(f"{json.dumps(codes)}\n")
    return 0


def _person(gate: int, go: int, words: list[str]) -> int:
    """The pid of a process that says these words once the gate is closed."""
    pid = os.fork()
    if pid:
        return pid
    os.close(go)
    os.read(gate, 1)
    sys.argv = ["streambg", *words]
    code = 0
    try:
        verbs()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:  # a traceback is an exit code, too
        code = 1
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
