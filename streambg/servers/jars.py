"""The broker's jars: fetched once into the cache, each one's SHA-256 as `jars.lock` pins it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from streambg.errors import ConfigError, StreambgError, Unreachable
from streambg.servers.cache import Progress, exclusive, quiet
from streambg.servers.ports import HOST

REPOSITORY = "STREAMBG_MAVEN_REPOSITORY"
LOCK_FILE = Path(__file__).with_name("jars.lock")
POM_FILE = Path(__file__).with_name("pom.xml")
FETCH_DEADLINE = 600.0  # seconds: 44 MB at 100 KiB/s take 450
READ_TIMEOUT = 60.0  # seconds without a byte
PARALLEL = 4  # downloads at once: polite to a repository, and enough to hide its latency
LARGEST_JAR = 64 * 2**20  # bytes: the largest one pinned has 8 MB


@dataclass(frozen=True, slots=True)
class Jar:
    """A file of the lock: its SHA-256 (hex) and its path in a Maven repository."""

    sha256: str
    path: str

    @property
    def name(self) -> str:
        """The file's name, as it lies in the cache."""
        return self.path.rsplit("/", 1)[-1]


def read_lock(text: str | None = None) -> tuple[Jar, ...]:
    """The pinned jars, by name. `text` is the content of a lock file, default that of the package."""
    lines = (LOCK_FILE.read_text(encoding="utf-8") if text is None else text).splitlines()
    jars = [Jar(*line.split()) for line in lines if line.strip() and not line.startswith("#")]
    return tuple(sorted(jars, key=lambda jar: jar.name))


def lock_digest(jars: Sequence[Jar]) -> str:
    """Names a set of jars: 12 hex digits."""
    return hashlib.sha256("\n".join(f"{jar.sha256} {jar.name}" for jar in jars).encode()).hexdigest()[:12]


def class_path(
    cache: Path, progress: Progress = quiet, environ: Mapping[str, str] = os.environ, jars: Sequence[Jar] | None = None
) -> list[Path]:
    """Every jar's file, in one fixed order (a class archive is bound to it); fetched if need be.

    Raises Unreachable where they cannot be had, StreambgError where one is not what the lock pins.
    """
    jars = read_lock() if jars is None else jars
    folder = cache / f"jars-{lock_digest(jars)}"
    files = [folder / jar.name for jar in jars]
    if all(file.is_file() for file in files):
        return files
    with exclusive(cache / "jars.lock", progress):
        if not all(file.is_file() for file in files):
            _fetch(jars, folder, progress, environ)
    return files


def _fetch(jars: Sequence[Jar], folder: Path, progress: Progress, environ: Mapping[str, str]) -> None:
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    repository, maven = environ.get(REPOSITORY), shutil.which("mvn", path=environ.get("PATH", ""))
    if repository:
        progress(f"fetching {len(jars)} jars of the broker from {REPOSITORY} (44 MB, once)")
        _from_repository(repository, jars, part)
    elif maven:
        progress(f"fetching {len(jars)} jars of the broker with Maven (44 MB, once)")
        _by_maven(maven, part)
    else:
        raise Unreachable(
            "the broker's jars are not in the cache and there is no way to fetch them: no `mvn` on the PATH, "
            f"{REPOSITORY} is not set",
            way_out=f"install Maven, or set {REPOSITORY} to the address of a Maven repository",
        )
    verify(jars, part)
    shutil.rmtree(folder, ignore_errors=True)  # what stands there is incomplete, else nothing would be fetched
    part.rename(folder)


def verify(jars: Sequence[Jar], folder: Path) -> None:
    """Raise StreambgError unless every pinned jar is there with its SHA-256. Other files are of no account: the
    class path names only pinned ones.
    """
    missing = [jar.name for jar in jars if not (folder / jar.name).is_file()]
    if missing:
        raise StreambgError(
            f"{len(missing)} of {len(jars)} jars were not delivered: {', '.join(missing[:5])}",
            way_out="the repository must carry the versions of streambg/servers/pom.xml; try another one",
        )
    wrong = [jar for jar in jars if hashlib.sha256((folder / jar.name).read_bytes()).hexdigest() != jar.sha256]
    if wrong:
        raise StreambgError(
            f"{len(wrong)} of {len(jars)} jars are not what jars.lock pins (SHA-256): {wrong[0].path}",
            way_out="the repository or Maven's local copy (~/.m2) was altered: remove that copy or use another one",
        )


def _by_maven(maven: str, target: Path) -> None:
    command = [maven, "-q", "-B", "-f", str(POM_FILE), "dependency:copy-dependencies", "-DincludeScope=runtime"]
    try:
        run = subprocess.run(
            [*command, f"-DoutputDirectory={target}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=FETCH_DEADLINE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unreachable(
            f"Maven did not deliver the broker's jars within {FETCH_DEADLINE:g} s",
            way_out=f"check the network and ~/.m2/settings.xml, or set {REPOSITORY}",
        ) from None
    if run.returncode != 0:
        said = "\n    ".join(run.stdout.strip().splitlines()[:8])
        raise Unreachable(
            f"Maven could not fetch the broker's jars (exit code {run.returncode}):\n    {said}",
            way_out=f"check the network and ~/.m2/settings.xml, or set {REPOSITORY}",
        )


def _from_repository(address: str, jars: Sequence[Jar], target: Path) -> None:
    parts = urllib.parse.urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in {HOST, "localhost"}):
        raise ConfigError(
            f"{REPOSITORY} is {parts.scheme or 'no'} address, needed is https (http only on {HOST})",
            way_out=f"set {REPOSITORY} to https://...",
        )

    def one(jar: Jar) -> None:
        try:
            with urllib.request.urlopen(f"{address.rstrip('/')}/{jar.path}", timeout=READ_TIMEOUT) as answer:
                (target / jar.name).write_bytes(answer.read(LARGEST_JAR))
        except OSError as error:  # urllib's errors are OSErrors
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it carries the answer and its connection
            raise Unreachable(
                f"{jar.path} could not be fetched: {error}",
                way_out=f"{REPOSITORY} must be the root of a Maven repository that carries Apache Kafka",
            ) from error

    with ThreadPoolExecutor(PARALLEL) as pool:
        for done in [pool.submit(one, jar) for jar in jars]:
            done.result()
