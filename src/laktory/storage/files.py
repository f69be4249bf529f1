"""The file-system calls that commits are made of, each durable when it returns."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import stat
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from laktory.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from laktory.errors import RunError

__all__ = [
    "append_line",
    "exchange",
    "make_folders",
    "os_number",
    "remove",
    "remove_made_folders",
    "sink_errors",
    "sync",
    "sync_folders",
    "system_reason",
    "write_text",
]

_append = threading.Lock()
_OS_ERROR = re.compile(r'\(os error (\d+)\)|\[errno (\d+)\]|"errno":"(\d+)"', re.IGNORECASE)


@contextmanager
def sink_errors(doing: str, kind: type[RunError] = SinkError) -> Iterator[None]:
    """Turn an `OSError` into an error that says what was being done, where, and the system's reason."""
    try:
        yield
    except OSError as error:
        number = os_number(error)
        reason = str(error).partition("\n")[0] if number is None else system_reason(number)
        at = repr(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else ""
        msg = f"cannot {doing}: {reason}" + (f" ({at})" if at and at not in doing else "")
        raise kind(msg) from error


def os_number(error: BaseException) -> int | None:
    """The number of an operating system error, also of one that a library wrapped into its own, or None."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _OS_ERROR.search(str(error))
    return int(next(filter(None, found.groups()))) if found else None


def system_reason(number: int) -> str:
    """The system's words for an error, with what helps where it is the limit of a shell."""
    hint = "; raise the limit with `ulimit -n`" if number in {errno.EMFILE, errno.ENFILE} else ""
    return os.strerror(number) + hint


def sync(path: str) -> None:
    """Wait until a file's content, or a folder's list of names, is on disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folders(folder: str, names: Iterable[str]) -> None:
    """`sync` a folder and those below it that hold one of the named files, the deepest first."""
    folders = {folder}
    for name in names:
        inner = os.path.dirname(name)  # noqa: PTH120 - plain strings, once per file of an output
        while inner:
            folders.add(f"{folder}/{inner}")
            inner = os.path.dirname(inner)  # noqa: PTH120
    for path in sorted(folders, key=len, reverse=True):
        sync(path)


def make_folders(path: str) -> list[str]:
    """Create a folder and its missing parents, durably; the ones created, outermost first."""
    missing = []
    current = Path(path)
    while not current.is_dir():
        missing.append(current)
        current = current.parent
    made: list[str] = []
    try:
        for folder in reversed(missing):
            try:
                folder.mkdir()
            except FileExistsError:
                with suppress(FileNotFoundError):  # gone again: the caller's next call will say so
                    if not stat.S_ISDIR(folder.stat().st_mode):
                        raise
                continue
            made.append(str(folder))
            sync(str(folder.parent))
    except BaseException:
        remove_made_folders(made)
        raise
    return made


def remove_made_folders(folders: Iterable[str]) -> None:
    """Take back what `make_folders` created, as far as it is empty."""
    for folder in sorted(folders, key=len, reverse=True):
        with suppress(OSError):
            Path(folder).rmdir()


def remove(path: str) -> None:
    """Remove a file or a folder with its content, whether or not it is there."""
    try:
        os.unlink(path)  # noqa: PTH108
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):  # macOS says EPERM for a folder
        if not os.path.isdir(path):  # noqa: PTH112
            raise
        shutil.rmtree(path)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file in one step: it holds the old text or the new, also after a power loss.

    Parameters
    ----------
    path : file to create or replace; missing parent folders are created
    text : whole content, written as UTF-8

    Raises
    ------
    SinkError
        If it cannot be written; an existing file still has its old text.
    """
    path = os.path.abspath(path)  # noqa: PTH100
    folder = os.path.dirname(path)  # noqa: PTH120
    temporary = f"{path}.tmp"
    with sink_errors(f"write {path!r}"):
        make_folders(folder)
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            try:
                _write(fd, text.encode())
                os.fsync(fd)
            finally:
                os.close(fd)
            os.replace(temporary, path)  # noqa: PTH105
        except BaseException:
            with suppress(OSError):
                remove(temporary)
            raise
        sync(folder)


def append_line(path: str | os.PathLike[str], text: str) -> None:
    """Append one line to a text file and wait until it is on disk.

    A last line without its newline was never acknowledged (the process or the disk stopped in the middle of
    it) and is dropped first.

    Parameters
    ----------
    path : file to extend or create; missing parent folders are created
    text : the line, with or without its newline

    Raises
    ------
    SinkError
        If it cannot be written.
    """
    path = os.path.abspath(path)  # noqa: PTH100
    with sink_errors(f"write {path!r}"), _append:
        folder = os.path.dirname(path)  # noqa: PTH120
        new = not os.path.exists(path)  # noqa: PTH110
        if new:
            make_folders(folder)
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":
                size = os.pread(fd, size, 0).rfind(b"\n") + 1
                os.ftruncate(fd, size)
            os.lseek(fd, size, os.SEEK_SET)
            _write(fd, text.removesuffix("\n").encode() + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)
        if new:
            sync(folder)


def exchange(first: str, second: str) -> bool:
    """Let two folders trade places in one step; False where the system or the file system cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    one, two = os.fsencode(first), os.fsencode(second)
    if sys.platform == "darwin":
        failed = libc.renamex_np(one, two, 0x2)
    elif hasattr(libc, "renameat2"):
        failed = libc.renameat2(-100, one, -100, two, 0x2)
    else:
        return False
    if not failed:
        return True
    code = ctypes.get_errno()
    if code in {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}:
        return False
    raise OSError(code, os.strerror(code), second)


def _write(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
