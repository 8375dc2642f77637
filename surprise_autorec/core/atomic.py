"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import stat
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

#: What may stand at a path besides a file, in words.
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

#: How the names of files begin that are not complete.
_PART = ".surprise-autorec-"

#: Where Linux has an open file by its descriptor, even if it has no name.
_DESCRIPTORS = Path("/proc/self/fd")


def other_kind(status: os.stat_result) -> str | None:
    """What it is, in words, if it is not a file."""
    return _KINDS.get(stat.S_IFMT(status.st_mode))


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write to: whatever happens meanwhile, there is the old one or the new one, whole.

    A file that is replaced hands on its mode and, where that is allowed, its owner. Of a symbolic link, the
    target is replaced. On Linux the new file has no name until it is complete, so that nothing is left of it
    if the process is killed, unless the file system cannot do that (NFS cannot).

    Raises ValueError if a folder, a device, a FIFO or a socket stands at the path, and OSError, which names
    the path, if the file cannot be written.
    """
    with _errors_name(path):
        target = Path(os.path.realpath(path))
        replaced = _status(target)
        if replaced is not None and (kind := other_kind(replaced)):
            raise ValueError(f"path must be that of a file, there or not, got {os.fspath(path)!r}, {kind}")
        part = target.with_name(f"{_PART}{uuid.uuid4().hex}")
        try:
            with _new_file(part) as descriptor, open(descriptor, "wb", closefd=False) as file:
                yield file
                file.flush()
                if replaced is not None:
                    _hand_on(replaced, descriptor)
                os.fsync(descriptor)
                if not os.fstat(descriptor).st_nlink:
                    _give_name(descriptor, part)
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def remove_parts(folder: Path) -> None:
    """Remove what processes that were killed have left of files. None may be writing in the folder."""
    for part in folder.glob(f"{_PART}*"):
        part.unlink(missing_ok=True)


@contextmanager
def _errors_name(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let errors of the operating system name the path that the user knows."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def _status(path: Path) -> os.stat_result | None:
    with suppress(FileNotFoundError):
        return path.stat()
    return None


@contextmanager
def _new_file(path: Path) -> Iterator[int]:
    """The descriptor of a new file, without a name where the file system can do that, or else there."""
    with _descriptors() as opened:
        if sys.platform == "linux" and _DESCRIPTORS.is_dir():
            with suppress(OSError):  # (a true problem is one below, too)
                _open(path.parent, os.O_TMPFILE | os.O_WRONLY, opened)
        if not opened:
            _open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, opened)
        yield opened[0]


def _give_name(descriptor: int, path: Path) -> None:
    # Only with a descriptor of a folder does Python ask Linux to follow the link to the nameless file.
    with _descriptors() as opened:
        _open(path.parent, os.O_RDONLY, opened)
        os.link(_DESCRIPTORS / str(descriptor), path.name, dst_dir_fd=opened[0], follow_symlinks=True)


@contextmanager
def _descriptors() -> Iterator[list[int]]:
    """A list whose descriptors are closed at the end."""
    opened: list[int] = []
    try:
        yield opened
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _open(path: Path, flags: int, opened: list[int]) -> None:
    # In one call, as an interrupt comes between two: it would lose the descriptor.
    opened.extend(map(os.open, [path], [flags], [0o666]))


def _hand_on(status: os.stat_result, descriptor: int) -> None:
    """Give a new file the owner and the mode of the one that it replaces."""
    if sys.platform != "win32":
        with suppress(PermissionError):
            os.fchown(descriptor, status.st_uid, status.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
