"""Reads the template and writes a new pipeline's folder; never over anything that is there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from streambg import __version__
from streambg.config.shipped import shipped
from streambg.errors import ConfigError
from streambg.starter.rendering import render

# Files of this package that begin with a dot in the new folder; with one here, git would take them for its own.
DOTTED = ("gitignore", "dockerignore")


def sources() -> dict[str, str]:
    """path in the new folder -> text: what this repository runs, and what only a new pipeline needs."""
    found = {name: shipped(name).read_text("utf-8") for name in ("pipeline.yaml", "docker-compose.yml")}
    for folder, pattern in (("topics", "*.yaml"), ("consumers", "*.py")):
        for path in sorted(shipped(folder).glob(pattern)):
            found[f"{folder}/{path.name}"] = path.read_text("utf-8")
    for relative, path in _own():
        found[f".{relative}" if relative in DOTTED else relative] = path.read_text("utf-8")
    return found


def _own() -> Iterator[tuple[str, Path]]:
    root = Path(__file__).parent / "files"
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(root).as_posix(), path


def checkout() -> str | None:
    """The folder that streambg was installed from in editable form; None: another way (PEP 610 says which)."""
    try:
        told = json.loads(distribution("streambg").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:  # run from a folder that is only on the path
        return None
    if not told.get("dir_info", {}).get("editable"):
        return None
    return url2pathname(urlsplit(told["url"]).path)


def init(name: str, directory: Path) -> list[Path]:
    """Write the pipeline `name` into `directory`; the files, in order.

    Raises ConfigError: no name for a pipeline, files in the way, a directory that cannot be written. Then nothing of
    it is left.
    """
    texts = render(name, __version__, sources(), checkout())
    in_the_way = [path for path in texts if (directory / path).exists() or (directory / path).is_symlink()]
    if in_the_way:
        raise ConfigError(
            f"{directory} already holds {', '.join(in_the_way)}; nothing is ever overwritten",
            way_out="name another folder with --dir, or move these away",
        )
    return _write(directory, texts)


def _write(directory: Path, texts: Mapping[str, str]) -> list[Path]:
    written: list[Path] = []
    try:
        for relative, text in texts.items():
            path = directory / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as stream:
                written.append(path)
                stream.write(text)
    except BaseException as error:  # Ctrl-C, too
        for path in written:
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ConfigError(f"{error.filename or directory}: {error.strerror}", way_out="--dir FOLDER") from error
        raise
    return written
