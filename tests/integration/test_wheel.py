"""The wheel holds the package with its template; `topics` and `consumers` are nobody's top-level packages."""

from __future__ import annotations

import os
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
    reference = ("pipeline.yaml", "docker-compose.yml", "topics/control.yaml", "consumers/scorer.py")
    for template in (*reference, "consumers/__init__.py"):
        assert f"streambg/template/{template}" in names
    assert "streambg/py.typed" in names
    assert "streambg/servers/jars.lock" in names
    assert not [name for name in names if "__pycache__" in name]
    by_wheel, by_checkout = _initialised(tmp_path / "by-wheel", wheel), _initialised(tmp_path / "by-checkout", ROOT)
    # a checkout that is installed says where it is
    by_checkout["Makefile"] = by_checkout["Makefile"].replace(f" $(wildcard {ROOT})", "", 1)
    assert by_wheel == by_checkout


def _initialised(folder: Path, package: Path) -> dict[str, str]:
    """What `streambg init` writes where the package is a wheel's, or a checkout's."""
    if package.suffix == ".whl":
        ZipFile(package).extractall(folder.with_suffix(".installed"))
        package = folder.with_suffix(".installed")
    command = [sys.executable, "-m", "streambg", "init", "fraud", "--dir", str(folder)]
    done = subprocess.run(
        command,
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    files = [each for each in folder.rglob("*") if each.is_file()]
    return {each.relative_to(folder).as_posix(): each.read_text() for each in files}
