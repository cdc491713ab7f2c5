"""A process of the pipeline with the simulator's broken variants: `python -m chaos.broken NAME+NAME publisher ...`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from importlib import import_module

from simulation.mutants import MUTANTS, applied


def main() -> None:
    names, module = sys.argv[1].split("+"), sys.argv[2]
    del sys.argv[1:3]
    known = {mutant.name: mutant for mutant in MUTANTS}
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(applied(known[name]))
        import_module(f"consumers.{module}").main()


if __name__ == "__main__":
    main()
