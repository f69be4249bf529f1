"""Commits: an intent record first, then one step per change, each of which can be repeated.

The order on disk is data, pointers, record, changes, ledger line. A pointer (``intent`` in the staging folder
of a target) leads whoever locks that target to the record, wherever the record lies. The record's
existence is the commit: without it nothing has happened, with it everything will.

One file that is replaced needs no record: the rename is the commit, and the ledger line goes before it. It names the
staged file: as long as that lies where it was staged, the rename has not come about.

Paths in a record and in a pointer are relative to it: a project that is moved or copied takes its pending
commits along, and a copy does not finish those of the original.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from laktory.errors import SinkError
from laktory.log import get_logger
from laktory.storage import delta
from laktory.storage.files import (
    append_line,
    exchange,
    make_folders,
    remove,
    sink_errors,
    sync,
    sync_folders,
    write_text,
)
from laktory.storage.targets import INTENT, Target, is_ours, staging_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Change", "Committed", "Record", "commit", "finish", "is_rename", "pointed_record", "read_record"]

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """What one sink is about to change; plain data that survives JSON.

    Attributes
    ----------
    mode : OVERWRITE replaces what the target holds, APPEND adds to it
    staged : staged file, or staged folder
    files : the staged file, or names relative to the staged folder; never used before
    rows : handed through to `Committed`
    table : schema, partition columns, added files and transaction number of a Delta change
    """

    target: Target
    mode: Literal["OVERWRITE", "APPEND"]
    staged: str
    files: tuple[str, ...]
    rows: tuple[int, int] | None = None
    table: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """What a change made visible.

    Attributes
    ----------
    files : absolute paths of the files that hold it
    rows : as given to `prepare`
    version : of the Delta table; None for files, or when a repeated commit can no longer tell
    """

    target: Target
    files: tuple[str, ...]
    rows: tuple[int, int] | None
    version: int | None


@dataclass(frozen=True, slots=True)
class Record:
    """An intent record: where it lies, all changes of one commit, and the caller's note."""

    path: str
    changes: tuple[Change, ...]
    note: Mapping[str, Any]


def commit(changes: Sequence[Change], *, intent_path: str, note: Mapping[str, Any]) -> list[Committed]:
    """Make changes visible, all of them or none. The locks of their targets are held.

    Parameters
    ----------
    changes : from `prepare`
    intent_path : where the intent record goes; a record already there is finished first, or set aside if nothing
        is left of its commit
    note : plain data kept in the record; ``note["ledger_line"]`` is appended to the file ``note["ledger"]``
        once: after the changes, or before a single rename, and ``note["undone_line"]`` if that does not come about

    Returns
    -------
    list of Committed, in the order of `changes`

    Raises
    ------
    SinkError
        Before the record is on disk: nothing has changed. After that the message says that the commit is
        going to be finished, or which part of it cannot be.
    """
    record = Record(os.path.realpath(intent_path), tuple(changes), dict(note))
    pending = {record.path, *filter(None, (pointed_record(change.target) for change in changes))}
    for path in pending:
        if (earlier := read_record(path)) is None:
            continue
        if all(pointed_record(change.target) != path for change in earlier.changes):
            # pointers come before the record and go after it: somebody removed the folders, or copied the record only
            _set_aside(earlier, [change.target.path for change in earlier.changes])
        else:
            finish(earlier)
    if not changes:  # a record of nothing would have no target that leads to it
        _write_ledger(record.note, again=False)
        return []
    if is_rename(changes):
        return [_rename(changes[0], record.note)]
    try:
        for change in changes:
            with sink_errors(f"commit {change.target.path!r}"):
                _point(change.target, record.path)
        write_text(record.path, json.dumps(_plain(record)))
    except BaseException:
        with suppress(OSError):
            remove(record.path)
            for change in changes:
                remove(f"{staging_folder(change.target)}/{INTENT}")
        raise
    return _carry_out(record, again=False)


def is_rename(changes: Sequence[Change]) -> bool:
    """Whether a commit is one rename, which happens or does not: nobody will ever have to finish it."""
    return len(changes) == 1 and changes[0].target.kind == "file"


def finish(record: Record) -> list[Committed]:
    """Carry out what is left of a commit. The locks of its targets are held."""
    return _carry_out(record, again=True)


def read_record(path: str) -> Record | None:
    """The intent record at a path, None if there is none.

    Raises
    ------
    SinkError
        If it cannot be read or is not one.
    """
    with sink_errors(f"read the intent record {path!r}"):
        try:
            text = Path(path).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
    try:
        content = json.loads(text)
        base = os.path.dirname(os.path.realpath(path))  # noqa: PTH120
        note = dict(content["note"])
        if note.get("ledger"):
            note["ledger"] = _absolute(note["ledger"], base)
        return Record(path, tuple(_change(base, **change) for change in content["changes"]), note)
    except (ValueError, TypeError, KeyError) as error:
        msg = f"{path!r} is not an intent record; remove it to give up the commit it stood for"
        raise SinkError(msg) from error


def pointed_record(target: Target) -> str | None:
    """Path of the intent record the staging folder of a target points at; the record may be gone."""
    folder = staging_folder(target)
    with sink_errors(f"read the staging folder of {target.path!r}"):
        try:
            text = os.fsdecode(Path(f"{folder}/{INTENT}").read_bytes())
        except FileNotFoundError:
            return None
    return _absolute(text, folder) if text else None


def _plain(record: Record) -> dict[str, Any]:
    """A record as JSON holds it."""
    base = os.path.dirname(record.path)  # noqa: PTH120
    changes = [asdict(change) for change in record.changes]
    for change in changes:
        if change["target"]["kind"] == "file":
            change["files"] = [os.path.relpath(file, base) for file in change["files"]]
        change["target"]["path"] = os.path.relpath(change["target"]["path"], base)
        change["staged"] = os.path.relpath(change["staged"], base)
    note = dict(record.note)
    if note.get("ledger"):
        note["ledger"] = os.path.relpath(os.path.realpath(note["ledger"]), base)
    return {"changes": changes, "note": note}


def _change(
    base: str, target: dict[str, Any], staged: str, files: list[str], rows: list[int] | None, **rest: Any
) -> Change:
    place = Target(_absolute(target["path"], base), target["kind"])
    names = tuple(_absolute(file, base) if place.kind == "file" else file for file in files)
    return Change(place, staged=_absolute(staged, base), files=names, rows=(rows[0], rows[1]) if rows else None, **rest)


def _absolute(path: str, base: str) -> str:
    return os.path.normpath(os.path.join(base, path))  # noqa: PTH118 - odd bytes must survive


def _point(target: Target, record: str) -> None:
    folder = staging_folder(target)
    fd = os.open(f"{folder}/{INTENT}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        os.write(fd, os.fsencode(os.path.relpath(record, folder)))
        os.fsync(fd)
    finally:
        os.close(fd)
    sync(folder)


def _rename(change: Change, note: Mapping[str, Any]) -> Committed:
    _write_ledger(note, again=False)
    try:
        with sink_errors(f"commit {change.target.path!r}"):
            done = _apply(change, again=False)
    except SinkError as error:
        if not _is_untouched(change):
            raise
        with suppress(SinkError):
            _write_ledger({**note, "ledger_line": note.get("undone_line")}, again=False)
        msg = f"{error}; nothing was changed"
        raise SinkError(msg) from error.__cause__
    return done


def _carry_out(record: Record, *, again: bool) -> list[Committed]:
    # what another writer can make impossible goes first, while the commit can still be given up
    order = sorted(range(len(record.changes)), key=lambda index: record.changes[index].target.kind != "delta")
    lost = [index for index in order if again and _is_lost(record.changes[index])]
    done: dict[int, Committed] = {}
    for index in order:
        change = record.changes[index]
        if index in lost:
            continue
        try:
            with sink_errors(f"commit {change.target.path!r}"):
                done[index] = _apply(change, again=again)
        except delta.ConflictError as error:
            _clean(record)
            with suppress(OSError):  # moved in for nothing, and in no version of the table
                for name in change.files:
                    remove(f"{change.target.path}/{name}")
            earlier = [repr(record.changes[index].target.path) for index in done]
            kept = f"{', '.join(earlier)} of the same commit had been committed" if earlier else "nothing was changed"
            msg = f"{error}; {kept}"
            raise SinkError(msg) from error
        except SinkError as error:
            if not again and not done and _is_untouched(change) and _withdraw(record):
                msg = f"{error}; nothing was changed"
                raise SinkError(msg) from error
            msg = f"{error}; the next run that uses {change.target.path!r} finishes this commit"
            raise SinkError(msg) from error
    if lost:
        _set_aside(record, [record.changes[index].target.path for index in sorted(lost)])
    if done or not lost:
        _write_ledger(record.note, again=again)
    _clean(record)
    return [done[index] for index in sorted(done)]


def _is_lost(change: Change) -> bool:
    """Whether somebody removed what was staged, there or where it had arrived: it can no longer be committed."""
    target, table = change.target, change.table
    if target.kind == "file":
        return not os.path.lexists(change.staged) and not os.path.lexists(target.path)
    if table is not None and delta.version_of(target.path, table["id"]) is not None:
        return False
    return any(
        not os.path.lexists(f"{change.staged}/{name}") and not os.path.lexists(f"{target.path}/{name}")
        for name in change.files
    )


def _is_untouched(change: Change) -> bool:
    """Whether all that was staged still lies where it was staged."""
    if change.target.kind == "file":
        return os.path.lexists(change.staged)
    if change.mode == "OVERWRITE" and change.target.kind == "directory" and os.path.lexists(f"{change.staged}.old"):
        return False
    return all(os.path.lexists(f"{change.staged}/{name}") for name in change.files) and not any(
        os.path.lexists(f"{change.target.path}/{name}") for name in change.files
    )


def _withdraw(record: Record) -> bool:
    """Give up a commit none of whose changes was made. The record goes first: without it there was no commit."""
    try:
        remove(record.path)
        sync(os.path.dirname(record.path))  # noqa: PTH120
    except OSError:
        return False
    _clean(record)
    return True


def _set_aside(record: Record, lost: Sequence[str]) -> None:
    """Keep the record of a commit that can no longer be finished, out of the way of the next ones."""
    aside = f"{record.path}.lost"
    with sink_errors(f"set the intent record {record.path!r} aside"):
        os.replace(record.path, aside)  # noqa: PTH105
    _log.warning(
        "A commit that a stopped run left cannot be finished: what it had staged for %s is gone. "
        "Its record is kept as %s; the node has to run again.",
        ", ".join(map(repr, lost)),
        aside,
    )


def _write_ledger(note: Mapping[str, Any], *, again: bool) -> None:
    ledger, line = note.get("ledger"), note.get("ledger_line")
    if not ledger or not line:
        return
    line = line.removesuffix("\n") + "\n"
    if again and Path(ledger).exists() and line in Path(ledger).read_text(encoding="utf-8").splitlines(keepends=True):
        return
    append_line(ledger, line)


def _clean(record: Record) -> None:
    # whatever fails here is repeated, without effect, or swept by the next run
    with suppress(OSError):
        remove(record.path)
        for change in record.changes:
            remove(f"{staging_folder(change.target)}/{INTENT}")
            remove(change.staged)


def _apply(change: Change, *, again: bool) -> Committed:
    target = change.target
    if target.kind == "file":
        _replace_file(target.path, change.staged, again=again)
        return Committed(target, (target.path,), change.rows, None)
    files = tuple(f"{target.path}/{name}" for name in change.files)
    if target.kind == "delta":
        if again and (found := delta.version_of(target.path, (change.table or {})["id"])) is not None:
            delta.tidy(target.path, killed=True)
            return Committed(target, files, change.rows, found)
        _move_in(change, again=again)
        version = delta.apply(target.path, change.mode, change.table or {}, again=again)
        return Committed(target, files, change.rows, version)
    if change.mode == "APPEND":
        _move_in(change, again=again)
    else:
        _replace_folder(change)
    return Committed(target, files, change.rows, None)


def _replace_file(target: str, staged: str, *, again: bool) -> None:
    try:
        if os.path.isdir(target) and is_ours(target):  # noqa: PTH112
            _trade(target, staged)
        elif os.path.isdir(staged):  # noqa: PTH112 - they had traded places
            remove(staged)
        else:
            os.replace(staged, target)  # noqa: PTH105
    except FileNotFoundError:
        if not again or not os.path.lexists(target):
            raise
    sync(os.path.dirname(target))  # noqa: PTH120


def _trade(folder: str, staged: str) -> None:
    """Put a file in the place of a directory that an engine has written which writes directories."""
    if not exchange(staged, folder):
        msg = f"{folder!r} is a directory, which this file system cannot replace by a file; remove it"
        raise SinkError(msg)
    remove(staged)


def _replace_folder(change: Change) -> None:
    """Put the staged folder in the place of the target's.

    Where two folders cannot trade places in one step (some network file systems) the target is away between
    two renames; a kill in between is repaired by the next run.
    """
    target, staged = change.target.path, change.staged
    if not os.path.lexists(f"{target}/{change.files[0]}"):
        old = f"{staged}.old"
        if not os.path.lexists(target):
            os.rename(staged, target)  # noqa: PTH104
        elif not exchange(staged, target):
            os.rename(target, old)  # noqa: PTH104
            os.rename(staged, target)  # noqa: PTH104
    sync(os.path.dirname(target))  # noqa: PTH120
    sync(staging_folder(change.target))
    remove(f"{staged}.old")


def _move_in(change: Change, *, again: bool) -> None:
    """Move staged files into the target's folder, one rename each, under names nobody has used.

    A directory of plain files has no list of what belongs to it: while several files are appended, a reader
    can meet the first without the last. A Delta reader sees none before the log entry.
    """
    target = change.target.path
    make_folders(target)
    for folder in sorted({os.path.dirname(name) for name in change.files} - {""}):  # noqa: PTH120
        make_folders(f"{target}/{folder}")
    for name in change.files:
        final = f"{target}/{name}"
        try:
            os.rename(f"{change.staged}/{name}", final)  # noqa: PTH104
        except FileNotFoundError:
            if not again or not os.path.lexists(final):
                raise
    sync_folders(target, change.files)
