"""`streambg init`, and then the new pipeline's own `make test`, in the environment of this one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from checkout import environment

pytestmark = pytest.mark.integration


def test_the_new_pipelines_own_test_passes(kafka: str, tmp_path: Path) -> None:
    """`kafka` is asked for only so that the cache is filled by then; the new pipeline brings servers of its own."""
    folder = tmp_path / "fraud"
    done = subprocess.run(
        [sys.executable, "-m", "streambg", "init", "fraud"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # PYTHONPATH of whoever runs this test must not stand in for what a new pipeline has
    surroundings = {name: value for name, value in environment().items() if name not in ("PYTHONPATH", "MAKEFLAGS")}
    make = subprocess.run(
        ["make", "test", f"BIN={Path(sys.executable).parent}"],
        cwd=folder,
        env=surroundings,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert make.returncode == 0, make.stdout + make.stderr
    assert "1 passed" in make.stdout
    assert not (folder / ".venv").exists(), "the environment that was named is used"
