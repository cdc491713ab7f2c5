"""The console script. It imports nothing until Ctrl-C has an answer: loading the verbs takes a second."""

from __future__ import annotations

import sys

CTRL_C = 130


def main() -> None:
    """Run the verb that the command line names. Exit codes: streambg/errors.py."""
    try:
        from streambg.cli.main import main as verbs  # noqa: PLC0415 - that second

        verbs()
    except KeyboardInterrupt:
        sys.exit(CTRL_C)
