"""Locks on targets, held from the start of a run to its end, and the recovery of what a killed run left.

A lock is an advisory `flock` on a file in the staging folder of the target. The system frees it when its
process ends, however it ends, so a killed run blocks nobody.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from laktory.errors import RunError, SinkError, TargetLockedError
from laktory.storage.commits import finish, pointed_record, read_record
from laktory.storage.files import make_folders, remove, remove_made_folders, sink_errors, sync, system_reason
from laktory.storage.targets import INTENT, LOCK, staging_folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from laktory.storage.commits import Record
    from laktory.storage.targets import Target

__all__ = ["Locks", "recover", "require_files"]

_POLL = 0.05  # seconds between two tries
_SPARE_FILES = 128  # descriptors left to the engine when the limit is raised for many targets
_NEEDED_FILES = 48  # without which no run begins; reading a Delta table takes 17


class _LockFile:
    """A lock file, open; the lock ends with the last reference to it: Ctrl-C may come before anybody has stored it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)

    def take(self, owner: str) -> bool:
        """Lock it; False if it has no name any more, since a holder that ended meanwhile unlinked it.

        Raises
        ------
        BlockingIOError
            Another holds it.
        """
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not self.has_name():
            return False
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n{owner}\n".encode(), 0)
        return True

    def has_name(self) -> bool:
        """Whether it is the file of its name: a lock on one without a name excludes nobody."""
        try:
            return os.path.samestat(os.fstat(self._fd), os.stat(self.path))  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return False

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            self.close()


class Locks:
    """The locks of all targets of a run; a context manager that releases them. Made by `acquire`."""

    def __init__(self, owner: str, timeout: float) -> None:
        self._owner = owner
        self._deadline = time.monotonic() + timeout
        self._spare: int | None = None
        self._extra: _LockFile | None = None
        self._held: dict[Target, _LockFile] = {}
        self._made: list[str] = []
        _all.add(self)

    @classmethod
    def acquire(cls, targets: Iterable[Target], *, owner: str, timeout: float = 0.0, extra: str | None = None) -> Locks:
        """Lock targets in a fixed order, finish pending commits that involve them, remove stale staged data.

        Parameters
        ----------
        targets : duplicates are locked once
        owner : who holds the lock, for the message others get
        timeout : seconds to wait for all of them together; 0 tries once
        extra : path of one more lock file, taken first

        Raises
        ------
        TargetLockedError
            If another run holds one of them when the time is over. None stays locked.
        SinkError
            If a lock cannot be made, or a pending commit cannot be finished.
        """
        wanted = {target.path: target for target in targets}
        locks = cls(owner, timeout)
        try:
            _allow_files(len(wanted))
            with sink_errors("lock the targets"):
                locks._spare = os.open(os.devnull, os.O_RDONLY)
            if extra is not None:
                path = os.path.abspath(extra)  # noqa: PTH100
                locks._extra = locks._take(path, f"the pipeline (lock {path!r})")
            records = locks._take_all(dict(wanted))
            with sink_errors("lock the targets"):
                for parent in {os.path.dirname(target.path) for target in locks._held}:  # noqa: PTH120
                    sync(parent)
            for record in records:
                finish(record)
            for target in list(locks._held):
                with sink_errors(f"remove stale data of {target.path!r}"):
                    _sweep(target)
            for target in list(locks._held):
                if target.path not in wanted:
                    locks._release_target(target)
        except BaseException:
            locks.release()
            raise
        return locks

    def require(self, targets: Iterable[Target]) -> None:
        """Refuse to write without a lock: to other places than those locked, or where somebody took the lock away.

        Raises
        ------
        SinkError
            Names the target.
        """
        for target in targets:
            if target not in self._held:
                msg = f"the sink leads to {target.path!r} now, which is not what was locked when it began"
                raise SinkError(f"{msg}: a link or the working directory was changed meanwhile; run again")
            if not self._held[target].has_name():
                msg = f"the lock of {target.path!r} was removed meanwhile, so others may have written there"
                raise SinkError(f"{msg}; run again, and leave {staging_folder(target)!r} alone")

    def release(self) -> None:
        """Give all locks back and remove the empty staging folders. Twice is once."""
        if self._spare is not None:  # cleaning up opens folders, also when descriptors ran out
            os.close(self._spare)
            self._spare = None
        for target in reversed(list(self._held)):
            self._release_target(target)
        if self._extra is not None:
            with suppress(OSError):
                if self._extra.has_name():
                    os.unlink(self._extra.path)  # noqa: PTH108
            self._extra.close()
            self._extra = None
        remove_made_folders(self._made)
        self._made = []

    def forget(self) -> None:
        """Close the descriptors and touch nothing else: in a forked child they are those of its parent."""
        for lock in (*self._held.values(), self._extra):
            if lock is not None:
                lock.close()
        self._held, self._extra, self._made = {}, None, []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def _take_all(self, targets: dict[str, Target]) -> list[Record]:
        """Lock targets and those of pending commits that involve them; the pending commits.

        A target of a pending commit that is not locked yet starts the round again from nothing: locks are always
        taken in the order of their paths, so two runs never wait for each other.
        """
        while True:
            for _, target in sorted(targets.items()):
                self._held[target] = self._take(f"{staging_folder(target)}/{LOCK}", repr(target.path))
            pointed = sorted({path for path in map(pointed_record, self._held) if path is not None})
            records = [record for path in pointed if (record := read_record(path)) is not None]
            more = {change.target.path: change.target for record in records for change in record.changes}
            if more.keys() <= targets.keys():
                return records
            targets |= more
            for target in list(self._held):
                self._release_target(target)

    def _take(self, path: str, what: str) -> _LockFile:
        while True:
            with sink_errors(f"lock {what}"):
                lock = self._try(path)
            if lock is not None:
                return lock
            if time.monotonic() >= self._deadline:
                msg = f"{what} is in use by {_holder(path)}"
                raise TargetLockedError(msg)
            time.sleep(_POLL)

    def _try(self, path: str) -> _LockFile | None:
        """One try: the lock, None if another holds it."""
        folder = os.path.dirname(path)  # noqa: PTH120
        for _ in range(1000):
            try:
                lock = _LockFile(path)
            except FileNotFoundError:
                with suppress(FileNotFoundError, FileExistsError):  # its holder is removing the folder right now
                    self._made += make_folders(os.path.dirname(folder))  # noqa: PTH120
                    os.mkdir(folder)  # noqa: PTH102 - brought to disk once for all targets of a parent
                    self._made.append(folder)
                continue
            taken = False
            try:
                taken = lock.take(self._owner)
            except BlockingIOError:
                return None
            finally:
                if not taken:
                    lock.close()
            if taken:
                return lock
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), path)

    def _release_target(self, target: Target) -> None:
        lock = self._held.pop(target)
        with suppress(OSError, SinkError):
            if lock.has_name():  # else what lies there is of another run
                path = pointed_record(target)
                if path is None or not Path(path).exists():
                    _sweep(target)
                os.unlink(lock.path)  # noqa: PTH108
                os.rmdir(staging_folder(target))  # noqa: PTH106 - stays while a pending commit needs it
        lock.close()


_all: weakref.WeakSet[Locks] = weakref.WeakSet()


def _forget_all() -> None:
    """A child that outlives its parent (workers of a pool whose parent was killed do) must not keep its locks."""
    for locks in list(_all):
        locks.forget()


os.register_at_fork(after_in_child=_forget_all)


def recover(intent_path: str, *, owner: str = "recovery", timeout: float = 0.0) -> None:
    """Finish the commit of an intent record, if there is one. Not for a caller that holds locks of its targets.

    Parameters
    ----------
    owner, timeout : as for `Locks.acquire`

    Raises
    ------
    TargetLockedError
        If one of its targets is in use.
    SinkError
        If the commit cannot be finished.
    """
    path = os.path.abspath(intent_path)  # noqa: PTH100
    record = read_record(path)
    if record is None:
        return
    with Locks.acquire([change.target for change in record.changes], owner=owner, timeout=timeout):
        if (left := read_record(path)) is not None:
            finish(left)


def _sweep(target: Target) -> None:
    """Remove what no commit needs from a staging folder whose lock is held and whose commit is not pending."""
    with os.scandir(staging_folder(target)) as entries:
        stale = [entry.path for entry in entries if entry.name != LOCK]
    # the pointer last: without it the payloads would be taken for stale anyway
    for path in sorted(stale, key=lambda path: path.endswith(f"/{INTENT}")):
        remove(path)


def _holder(path: str) -> str:
    try:
        pid, _, owner = Path(path).read_text(encoding="utf-8").strip().partition("\n")
    except (OSError, ValueError):
        pid = owner = ""
    return f"{owner} (process {pid})" if pid and owner else "another run"


def require_files() -> None:
    """Refuse to begin what is going to open files where hardly any can be opened: libraries end the process there.

    Raises
    ------
    RunError
        With the limit.
    """
    opened: list[int] = []
    try:
        while len(opened) < _NEEDED_FILES:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        reason = system_reason(error.errno or 0)
        msg = f"cannot run: of the {soft} files that the process may open fewer than {_NEEDED_FILES} are left: {reason}"
        raise RunError(msg) from error
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _allow_files(count: int) -> None:
    """Raise the soft limit of open files where the locks of a run would not leave enough to the engine."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + _SPARE_FILES
    if soft == resource.RLIM_INFINITY or needed <= soft // 2:
        return
    wanted = 2 * needed if hard == resource.RLIM_INFINITY else min(2 * needed, hard)
    if wanted > soft:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
