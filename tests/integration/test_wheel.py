"""The wheel holds the package with its template; `topics` and `consumers` are nobody's top-level packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parent.parent.parent


def test_the_wheel_installs_only_streambg(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"streambg"}
    for template in ("pipeline.yaml", "topics/control.yaml", "consumers/scorer.py", "consumers/__init__.py"):
        assert f"streambg/template/{template}" in names
    assert "streambg/py.typed" in names
    assert "streambg/servers/jars.lock" in names
    assert not [name for name in names if "__pycache__" in name]
