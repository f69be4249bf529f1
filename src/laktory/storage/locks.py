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


class Locks:
    """The locks of all targets of a run; a context manager that releases them. Made by `acquire`."""

    def __init__(self, owner: str, timeout: float) -> None:
        self._owner = owner
        self._deadline = time.monotonic() + timeout
        self._spare: int | None = None
        self._extra: int | None = None
        self._extra_path = ""
        self._held: dict[Target, int] = {}
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
                locks._extra_path = os.path.abspath(extra)  # noqa: PTH100
                locks._extra = locks._take(locks._extra_path, f"the pipeline (lock {locks._extra_path!r})")
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
            lock = _lock_file(target)
            if not _has_name(self._held[target], lock):
                msg = f"the lock of {target.path!r} was removed meanwhile, so others may have written there"
                raise SinkError(f"{msg}; run again, and leave {os.path.dirname(lock)!r} alone")  # noqa: PTH120

    def release(self) -> None:
        """Give all locks back and remove the empty staging folders. Twice is once."""
        if self._spare is not None:  # cleaning up opens folders, also when descriptors ran out
            os.close(self._spare)
            self._spare = None
        for target in reversed(list(self._held)):
            self._release_target(target)
        if self._extra is not None:
            with suppress(OSError):
                if _has_name(self._extra, self._extra_path):
                    os.unlink(self._extra_path)  # noqa: PTH108
            os.close(self._extra)
            self._extra = None
        remove_made_folders(self._made)
        self._made = []

    def forget(self) -> None:
        """Close the descriptors and touch nothing else: in a forked child they are those of its parent."""
        for fd in (*self._held.values(), self._spare, self._extra):
            if fd is not None:
                os.close(fd)
        self._held, self._spare, self._extra, self._made = {}, None, None, []

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
                self._held[target] = self._take(_lock_file(target), repr(target.path))
            pointed = sorted({path for path in map(pointed_record, self._held) if path is not None})
            records = [record for path in pointed if (record := read_record(path)) is not None]
            more = {change.target.path: change.target for record in records for change in record.changes}
            if more.keys() <= targets.keys():
                return records
            targets |= more
            for target in list(self._held):
                self._release_target(target)

    def _take(self, path: str, what: str) -> int:
        while True:
            with sink_errors(f"lock {what}"):
                fd = self._try(path)
            if fd is not None:
                return fd
            if time.monotonic() >= self._deadline:
                msg = f"{what} is in use by {_holder(path)}"
                raise TargetLockedError(msg)
            time.sleep(_POLL)

    def _try(self, path: str) -> int | None:
        """One try: the locked descriptor, None if another holds it."""
        folder = os.path.dirname(path)  # noqa: PTH120
        for _ in range(1000):
            try:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            except FileNotFoundError:
                with suppress(FileNotFoundError, FileExistsError):  # its holder is removing the folder right now
                    self._made += make_folders(os.path.dirname(folder))  # noqa: PTH120
                    os.mkdir(folder)  # noqa: PTH102 - brought to disk once for all targets of a parent
                    self._made.append(folder)
                continue
            locked = False
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                locked = _has_name(fd, path)  # a holder that ended meanwhile unlinked the file
                if locked:
                    os.ftruncate(fd, 0)
                    os.pwrite(fd, f"{os.getpid()}\n{self._owner}\n".encode(), 0)
                    return fd
            except BlockingIOError:
                return None
            except BaseException:
                locked = False
                raise
            finally:
                if not locked:
                    os.close(fd)
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), path)

    def _release_target(self, target: Target) -> None:
        fd = self._held.pop(target)
        with suppress(OSError, SinkError):
            if _has_name(fd, _lock_file(target)):  # else what lies there is of another run
                path = pointed_record(target)
                if path is None or not Path(path).exists():
                    _sweep(target)
                os.unlink(_lock_file(target))  # noqa: PTH108
                os.rmdir(staging_folder(target))  # noqa: PTH106 - stays while a pending commit needs it
        os.close(fd)


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


def _lock_file(target: Target) -> str:
    return f"{staging_folder(target)}/{LOCK}"


def _has_name(fd: int, path: str) -> bool:
    """Whether a lock file is the one of that name: a lock on a file without a name excludes nobody."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return False


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
