"""Folders in use: whoever uses one holds a shared lock in it, whoever wants to remove it asks for that lock alone.

The system frees a lock when its process ends, however it ends: a killed process holds no folder.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from laktory.storage import remove

__all__ = ["hold", "private_folder", "remove_unheld"]

_LOCK = "in-use"
_PREFIX = "laktory-temp-"


def hold(folder: Path) -> int | None:
    """Hold a folder until the descriptor that comes back is closed; None if it was removed meanwhile."""
    path = folder / _LOCK
    descriptor = -1
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        # one that is being removed is locked until its lock file has no name any more
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except (FileNotFoundError, BlockingIOError):
        pass
    if descriptor >= 0:
        os.close(descriptor)
    return None


def remove_unheld(folder: Path, what: Path | None = None) -> bool:
    """Remove a folder, or `what` in it, unless somebody holds it; whether that was done. Errors count as held."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        descriptor = -1  # never held
    except OSError:
        return False
    try:
        if descriptor >= 0:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if what is None:
            # the lock goes last: a folder without one, removed by half, would look like one that is about to be held
            for entry in [path for path in folder.iterdir() if path.name != _LOCK]:
                remove(str(entry))
            shutil.rmtree(folder, ignore_errors=True)
        else:
            remove(str(what))
    except OSError:
        return False
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return True


def private_folder() -> tuple[str, int]:
    """A folder for temporary files, held; those that killed processes of this user left are removed first."""
    place = Path(tempfile.gettempdir())
    with suppress(OSError):
        for left in place.glob(f"{_PREFIX}*"):
            if not _is_ours(left):
                continue
            if (left / _LOCK).exists():
                remove_unheld(left)
            else:  # killed before it was held; whoever is just about to hold it makes another
                with suppress(OSError):
                    left.rmdir()
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        descriptor = hold(folder)
        if descriptor is not None:
            return str(folder), descriptor


def _is_ours(folder: Path) -> bool:
    """Whether it is such a folder of this user."""
    with suppress(OSError):
        found = folder.lstat()
        return found.st_uid == os.getuid() and stat.S_ISDIR(found.st_mode)
    return False
