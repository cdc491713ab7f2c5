"""Files of a registry, read and written so that what was checked is what is used.

Folders are opened one below the other and never through a symbolic link, so a name cannot lead out of the registry,
and cannot be exchanged between two looks.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from streambg.errors import ModelError

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER_MODE = 0o755  # other users' processes read what a person adds
_FILE_MODE = 0o444  # a version never changes
DAMAGED = "the file was put there by hand or damaged: restore it, or remove the version's folder and add it anew"
_COPIES = "add the version anew: streambg models add copies the file"


def read_below(root: Path, parts: tuple[str, ...], limit: int, *, way_out: str | None = None) -> bytes:
    """The bytes of root/part/.../part, read once; no part may be a symbolic link, the last is a plain file of one name.

    way_out: of a file that belongs to no version, whatever is wrong with it.
    Raises FileNotFoundError, ModelError (a link, no plain file, over `limit` bytes, not readable).
    """
    path = root.joinpath(*parts)
    with ExitStack() as opened:
        try:
            folder = opened.enter_context(_opened(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, None))
            for part in parts[:-1]:
                folder = opened.enter_context(_opened(part, _OPEN | os.O_DIRECTORY, folder))
            # a named pipe must not keep us waiting for its other end
            file = opened.enter_context(_opened(parts[-1], _OPEN | os.O_NONBLOCK, folder))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _refused(root, parts, error, way_out or _COPIES) from error
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            raise ModelError(f"{path} is no plain file", way_out=way_out or DAMAGED)
        if about.st_nlink > 1:
            raise ModelError(
                f"{path} is a hard link: the file has {about.st_nlink} names, and who may write to another one may "
                "write to this one",
                way_out=way_out or _COPIES,
            )
        if about.st_size > limit:
            raise ModelError(f"{path} has {about.st_size} bytes, the limit is {limit}", way_out=way_out or DAMAGED)
        with open(file, "rb", closefd=False) as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise ModelError(
                f"{path} grew beyond {limit} bytes while it was read",
                way_out="nothing may write into a registry but streambg models add",
            )
        return data


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """A new folder with these files, on the disk when this returns."""
    folder.mkdir(mode=_FOLDER_MODE)
    for name, data in files.items():
        with open(folder / name, "xb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), _FILE_MODE)
            os.fsync(stream.fileno())
    _sync_folder(folder)


def write_version(root: Path, name: str, version: str, files: Mapping[str, bytes]) -> None:
    """root/name/version appears whole or not at all; where another process was faster, its stands.

    Raises ModelError.
    """
    folder = root / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if folder.is_symlink():
            raise ModelError(f"{folder} is a symbolic link; a registry holds none", way_out="put a folder in its place")
        with tempfile.TemporaryDirectory(prefix=".adding-", dir=root) as draft:
            _write_folder(Path(draft) / version, files)
            os.rename(Path(draft) / version, folder / version)
        _sync_folder(folder)
        _sync_folder(root)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise ModelError(
                f"{name}:{version} cannot be written: {error}", way_out=f"give this user the right to write {root}"
            ) from error


def _sync_folder(folder: Path) -> None:
    """A rename counts after a power cut only when its folder was written too."""
    with _opened(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, None) as descriptor:
        os.fsync(descriptor)


@contextmanager
def _opened(path: Path | str, flags: int, folder: int | None) -> Iterator[int]:
    descriptor = os.open(path, flags, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _refused(root: Path, parts: tuple[str, ...], error: OSError, no_link: str) -> ModelError:
    for depth in range(1, len(parts) + 1):
        if (path := root.joinpath(*parts[:depth])).is_symlink():
            return ModelError(
                f"{path} is a symbolic link; a registry holds none, they may lead anywhere",
                way_out=no_link,
            )
    if error.errno == errno.ENOTDIR:
        return _no_folder(root, parts)
    return ModelError(
        f"{root.joinpath(*parts)} cannot be read: {error.strerror}", way_out="give this user the right to read it"
    )


def _no_folder(root: Path, parts: tuple[str, ...]) -> ModelError:
    """One of the folders on the way is a file: whoever may read it is no further."""
    if not root.is_dir():
        return ModelError(f"{root} is a file, not a folder", way_out="name the folder that holds the versions")
    folders = [root.joinpath(*parts[:depth]) for depth in range(1, len(parts))]
    path = next((folder for folder in folders if not folder.is_dir()), root.joinpath(*parts))
    return ModelError(f"{path} is a file, not a folder", way_out=DAMAGED)
