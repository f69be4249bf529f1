"""Delta tables → a plan of Polars, for every engine: it knows deletion vectors, and columns that came later."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from laktory.engines.errors import reason
from laktory.errors import SourceError
from laktory.optional import require
from laktory.paths import local_path, url_scheme

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from laktory.engines.protocol import FileRead

__all__ = ["data_files", "open_delta", "scan_delta"]

_COMMIT = re.compile(r"[0-9]{20}\.json")
_CHECKPOINT = re.compile(r"[0-9]{20}\.checkpoint\.")


def scan_delta(path: str, version: Any, kwargs: Mapping[str, Any]) -> pl.LazyFrame:
    """The rows of a version of a table, see `open_delta`."""
    return open_delta(path, version, kwargs)[0]


def open_delta(path: str, version: Any, kwargs: Mapping[str, Any]) -> tuple[pl.LazyFrame, int]:
    """The rows of a version of a table, the latest for None, lazily, and which one it is.

    Parameters
    ----------
    kwargs : arguments of `polars.scan_delta`

    Raises
    ------
    SourceError
        It is no table, or cannot be read.
    """
    import polars as pl

    deltalake = require("deltalake", "the format DELTA")
    try:
        table = _table_type(deltalake.DeltaTable)(path, version=version, storage_options=kwargs.get("storage_options"))
        _refuse_unreachable(table, path)
        _refuse_damage(table, path)
        frame = pl.scan_delta(table, **kwargs)
        frame.collect_schema()
    except deltalake.exceptions.TableNotFoundError as error:
        there = local_path(path) is None or os.path.lexists(path)
        msg = f"{path!r} is no Delta table{'' if there else '; there is nothing'}"
        raise SourceError(msg) from error
    except (deltalake.exceptions.DeltaError, OSError) as error:
        raise SourceError(_fault(error, path, version)) from error
    except TypeError as error:
        msg = f"{path!r}: {version!r} is no version of a Delta table; versions are whole numbers"
        raise SourceError(msg) from error
    return frame, table.version()


def _fault(error: Exception, path: str, version: Any) -> str:
    """What is wrong with a table, in words of the table's log."""
    local, text = local_path(path), str(error)
    if local is not None and (found := _broken_log(local)):
        return f"{path!r} cannot be read as a Delta table: {found}"
    if "specified end version" in text:
        return f"{path!r} has no version {version}"
    if feature := re.search(r"Feature '(\w+)' is not supported|requires reader features \['(\w+)'", text):
        return f"{path!r}: the Delta table uses {feature[1] or feature[2]!r}, which cannot be read"
    said = reason(error).removeprefix("Kernel error: ").removeprefix("Generic delta kernel error: ")
    return f"{path!r} cannot be read as a Delta table: {said}"


def _broken_log(path: str) -> str | None:
    """What is wrong with the files of a table's log, from its last checkpoint on; None if nothing is found."""
    log = Path(path) / "_delta_log"
    if not log.is_dir():
        return f"{str(log)!r} is no directory"
    names = sorted(entry.name for entry in log.iterdir())
    start = max((int(name[:20]) for name in names if _CHECKPOINT.match(name)), default=-1)
    commits = [int(name[:20]) for name in names if _COMMIT.fullmatch(name) and int(name[:20]) > start]
    for place, version in enumerate(commits, start + 1):
        name = f"_delta_log/{place:020}.json"
        if version != place:
            return f"{name!r} is missing"
        lines = (log.parent / name).read_text("utf-8", "replace").splitlines()
        if not any(lines):
            return f"{name!r} is empty"
        for number, line in enumerate(lines, 1):
            try:
                parsed = json.loads(line or "{}")
            except ValueError:
                parsed = None
            if not isinstance(parsed, dict):
                return f"{name!r} line {number} is no JSON object"
    return None


def _refuse_damage(table: Any, path: str) -> None:
    """A commit without a byte, which was cut off when it was written, and data files that are not those of the log.

    The rows of the first would be missing without a word, and readers give up on the others half way.
    """
    root = _local_root(table)
    if root is None:
        return
    folder = Path(unquote(root))
    with os.scandir(folder / "_delta_log") as entries:
        empty = [entry.name for entry in entries if _COMMIT.fullmatch(entry.name) and not entry.stat().st_size]
    if empty:
        msg = f"{path!r} cannot be read as a Delta table: '_delta_log/{min(empty)}' is empty"
        raise SourceError(msg)
    actions = table.get_add_actions()
    for name, size in zip(actions["path"].to_pylist(), actions["size_bytes"].to_pylist(), strict=True):
        if url_scheme(name):  # lies elsewhere
            continue
        file = unquote(name)
        try:
            found = (folder / file).stat().st_size
        except OSError as error:
            msg = f"{path!r}: the data file {file!r} of the Delta table cannot be read: {error.strerror}"
            raise SourceError(msg) from error
        if size and found != size:
            msg = f"{path!r}: the data file {file!r} is not the one that was committed to the Delta table"
            raise SourceError(f"{msg}: it has {found} bytes, not {size}")


def data_files(read: FileRead) -> list[str]:
    """Files of the version of a table that is read; none where it lies elsewhere, or cannot be told."""
    deltalake = require("deltalake", "the format DELTA")
    if local_path(read.path) is None:
        return []
    try:
        table = _table_type(deltalake.DeltaTable)(read.path, version=read.kwargs.get("version", read.version))
        root = unquote(_local_root(table) or "")
        return [str(PurePath(read.path) / file[len(root) :]) for file in table.file_uris()]
    except deltalake.exceptions.DeltaError:
        return []


def _table_type(base: Any) -> Any:
    class Table(base):  # type: ignore[misc]
        """A table whose files are found whatever its folder is called: deltalake gives that as part of a URL."""

        def file_uris(self, *args: Any, **kwargs: Any) -> list[str]:
            found: list[str] = super().file_uris(*args, **kwargs)
            root = _local_root(self)
            if root is None:
                return found
            return [unquote(root) + file[len(root) :] if file.startswith(root) else file for file in found]

    return Table


def _local_root(table: Any) -> str | None:
    uri: str = table.table_uri
    root = local_path(uri)
    return None if root is None else root.rstrip("/") + "/"


def _refuse_unreachable(table: Any, path: str) -> None:
    """Rows that a table says are deleted are looked up by the URL of their file."""
    root = _local_root(table)
    if root is not None and root != unquote(root) and "deletionVectors" in (table.protocol().reader_features or ()):
        msg = (
            f"{path!r}: a Delta table with deletion vectors cannot be read below a folder with spaces or signs of URLs"
        )
        raise SourceError(f"{msg} in its name ({unquote(root)!r}); rename the folder")
