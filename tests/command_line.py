"""The verbs as a person types them, in the folder of a pipeline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipelines import Running


def streambg(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streambg", *words],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def answer(run: Running, *words: str) -> Any:
    """The JSON of a verb that must succeed."""
    done = streambg(run.folder, *words, "--output", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
