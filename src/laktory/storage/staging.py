"""Writing beside a target, and getting what was written ready to be committed."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from laktory.errors import SinkError
from laktory.storage import delta
from laktory.storage.commits import Change, pointed_record
from laktory.storage.files import remove, sink_errors, sync, sync_folders
from laktory.storage.targets import staging_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import narwhals as nw

    from laktory.storage.targets import Target

__all__ = ["Staging", "discard", "open_staging", "prepare"]


@dataclass(frozen=True, slots=True)
class Staging:
    """A place beside a target for the engine to write to.

    Attributes
    ----------
    path : staged file to create, or staged folder (exists, empty) to fill
    stem : unique beginning of file names; holds the run id
    directory : `path` is a folder
    """

    target: Target
    run_id: str
    path: str
    stem: str
    directory: bool


def open_staging(target: Target, run_id: str, *, extension: str) -> Staging:
    """Make room beside a target. The lock of the target is held.

    Parameters
    ----------
    extension : of the staged file, e.g. ``parquet``

    Raises
    ------
    SinkError
        If nothing can be created there.
    """
    stem = f"{re.sub(r'[^A-Za-z0-9_.-]', '_', run_id)}-{secrets.token_hex(4)}"
    folder = staging_folder(target)
    directory = target.kind != "file"
    path = f"{folder}/{stem}" if directory else f"{folder}/{stem}.{extension.lstrip('.')}"
    with sink_errors(f"write to {target.path!r}"):
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - there already, unless somebody tidied up
        if directory:
            Path(path).mkdir()
    return Staging(target, run_id, path, stem, directory)


def prepare(
    staging: Staging,
    staged_files: Iterable[str],
    mode: Literal["OVERWRITE", "APPEND"],
    *,
    rows: tuple[int, int] | None,
    schema: nw.Schema | None = None,
    partition_by: Sequence[str] = (),
) -> Change:
    """Check what was staged against its target, bring it to disk, and describe the change.

    Parameters
    ----------
    staged_files : absolute paths the engine wrote, at or below `staging.path`
    mode : OVERWRITE replaces. APPEND adds: files to a directory, rows to a Delta table, and to a *file* the
        staged bytes after the bytes of the file (CSV without header, JSON lines). A format that cannot be
        continued by bytes is staged whole, old rows included, with OVERWRITE.
    rows : handed through to `Committed.rows`
    schema : of the staged rows, after `delta_schema`; DELTA only
    partition_by : hive partition columns; DELTA only

    Raises
    ------
    SinkError
        If the target does not take this change, or the data cannot be brought to disk.
    """
    target, staged = staging.target, staging.path
    with sink_errors(f"write to {target.path!r}"):
        if not staging.directory:
            if mode == "APPEND":
                staged = _continued(target.path, staged)
            _keep_mode(target.path, staged)
            sync(staged)
            return Change(target, "OVERWRITE", staged, (staged,), rows)
        names = tuple(sorted(os.path.relpath(path, staged) for path in staged_files))
        if not names and target.kind == "directory":
            msg = f"nothing was staged for {target.path!r}: an empty result still needs one file"
            raise SinkError(msg)
        table = None
        if target.kind == "delta":
            if schema is None:
                msg = "a Delta change needs the schema of its rows"
                raise ValueError(msg)
            table = delta.prepare(target.path, staged, names, mode=mode, schema=schema, partition_by=partition_by)
        elif mode == "OVERWRITE":
            _keep_mode(target.path, staged)
        for name in names:
            sync(f"{staged}/{name}")
        sync_folders(staged, names)
    return Change(target, mode, staged, names, rows, table)


def discard(stagings: Iterable[Staging]) -> None:
    """Remove what was staged and not committed. What cannot be removed now goes when the target is locked next.

    What a pending commit still needs (`commit` failed after its record was on disk) stays.
    """
    for staging in stagings:
        with suppress(OSError, SinkError):
            record = pointed_record(staging.target)
            if record is None or not Path(record).exists():
                remove(staging.path)
                remove(_whole(staging.path))


def _continued(target: str, part: str) -> str:
    """The bytes of the target with those of the part after them, as a staged file of their own."""
    if not Path(target).exists() or not Path(target).stat().st_size:
        return part
    whole = _whole(part)
    shutil.copyfile(target, whole)
    with Path(whole).open("r+b") as out, Path(part).open("rb") as rest:
        out.seek(-1, os.SEEK_END)
        last = out.read(1)
        if last != b"\n":
            out.write(b"\n")
        shutil.copyfileobj(rest, out, 1 << 20)
    remove(part)
    return whole


def _whole(part: str) -> str:
    return f"{part}.whole"


def _keep_mode(target: str, staged: str) -> None:
    with suppress(FileNotFoundError):
        if os.path.isdir(target) != os.path.isdir(staged):  # noqa: PTH112 - of another kind
            return
        mode = stat.S_IMODE(os.stat(target).st_mode)  # noqa: PTH116
        os.chmod(staged, mode)  # noqa: PTH101
