"""The peers' own environments: a virtual environment from a hash-pinned file each, the Java project by Maven."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

from streambg.errors import StreambgError, Unreachable
from streambg.servers.java import find_java

HERE = Path(__file__).parent
JAVA_PROJECT = HERE / "kafka-streams"
# 100 MB by Maven or pip over a slow line
FETCH_S = 900.0


def requirements(name: str) -> Path:
    """The pinned file of a Python peer."""
    return HERE / "requirements" / f"{name}.txt"


def pinned(name: str, package: str) -> str:
    """The version that the file pins."""
    found = re.search(rf"^{re.escape(package)}==(\S+)", requirements(name).read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise StreambgError(f"{requirements(name)} pins no {package}", way_out="see benchmarks/peers/requirements")
    return found[1]


def streams_version() -> str:
    """Of Kafka Streams, as its project asks for it."""
    found = re.search(r"<artifactId>kafka-streams</artifactId>\s*<version>([^<]+)<", _pom())
    assert found is not None
    return found[1]


def _pom() -> str:
    return (JAVA_PROJECT / "pom.xml").read_text(encoding="utf-8")


def python(name: str, build: Path) -> Path:
    """The interpreter of a peer's environment, made if need be. Raises StreambgError where pip or uv fails."""
    pins = requirements(name)
    digest = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = build / "environments" / f"{name}-{digest}"
    interpreter = folder / "bin" / "python"
    ready = folder / ".ready"
    if ready.exists():
        return interpreter
    shutil.rmtree(folder, ignore_errors=True)
    uv = shutil.which("uv")
    if uv:
        _run([uv, "venv", "-q", "--python", sys.executable, str(folder)], name)
        _run([uv, "pip", "install", "-q", "--python", str(interpreter), "--require-hashes", "-r", str(pins)], name)
    else:
        _run([sys.executable, "-m", "venv", str(folder)], name)
        pip = [str(interpreter), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        _run([*pip, "--require-hashes", "-r", str(pins)], name)
    ready.touch()
    return interpreter


def java_program(build: Path) -> list[str]:
    """The command of the Kafka Streams program, compiled if need be. Raises Unreachable without Java or Maven."""
    java = find_java()
    if isinstance(java, str):
        raise Unreachable(java, way_out="install a JDK 17, or leave Kafka Streams out with --only")
    sources = sorted(JAVA_PROJECT.rglob("*.java"))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sources) + _pom().encode()).hexdigest()[:12]
    folder = build / "environments" / f"kafka-streams-{digest}"
    if not (folder / ".ready").exists():
        maven = shutil.which("mvn")
        if maven is None:
            raise Unreachable("no mvn on the PATH", way_out="install Maven, or leave Kafka Streams out with --only")
        copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder / 'lib'}"]
        project = ["-f", str(JAVA_PROJECT / "pom.xml"), f"-Dpeers.build={folder}"]
        _run([maven, "-q", "-B", *project, "compile", *copy], "kafka-streams")
        (folder / ".ready").touch()
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    return [java.path, "-Xmx1g", quiet, "-cp", f"{folder / 'classes'}:{folder / 'lib'}/*", "peers.Main"]


def _run(command: list[str], name: str) -> None:
    try:
        run = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=FETCH_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unreachable(f"{name}: {command[0]} did not end within {FETCH_S:g} s", way_out="try again") from None
    if run.returncode != 0:
        said = "\n    ".join(run.stdout.strip().splitlines()[-8:])
        raise StreambgError(
            f"{name}: {command[0]} ended with code {run.returncode}:\n    {said}",
            way_out="is the package registry reachable? leave the peer out with --only",
        )
