"""What a sink writes to: a file, a directory of files or a Delta table, by its absolute path."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from laktory.errors import SinkError, UnsupportedError
from laktory.paths import url_scheme
from laktory.storage.files import sink_errors

__all__ = ["INTENT", "LOCK", "Target", "exists", "file_name", "is_other", "is_ours", "staging_folder", "target_of"]

_OURS = re.compile(r"\d{8}T\d{12}-[0-9a-f]{6}-[0-9a-f]{8}-\d{5}(?:\.\w+)+")
"""Names of files in a directory: run, staging, number."""
LOCK = "lock"
INTENT = "intent"


@dataclass(frozen=True, slots=True)
class Target:
    """One place outputs go to.

    Attributes
    ----------
    path : absolute, symbolic links resolved, no trailing slash
    kind : what lies there once it has been written
    """

    path: str
    kind: Literal["file", "directory", "delta"]


def target_of(path: str, format: str, *, directory: bool = False) -> Target:  # noqa: A002
    """Target of a sink's path.

    Parameters
    ----------
    path : as declared; relative to the working directory, a trailing ``/`` means a directory
    format : upper-case format name
    directory : several files are written, whatever the path looks like

    Raises
    ------
    SinkError
        If something of another kind lies there, or the path can be no target.
    UnsupportedError
        If the path is a URL.
    """
    if url_scheme(path):
        msg = f"{path!r} is not a local path; only local paths can be written"
        raise UnsupportedError(msg)
    if not path or "\0" in path:
        msg = f"{path!r} is not a path"
        raise SinkError(msg)
    resolved = os.path.realpath(path)
    target: Target
    if format == "DELTA":
        target = Target(resolved, "delta")
    elif directory or path.endswith("/"):
        target = Target(resolved, "directory")
    else:
        target = Target(resolved, "file")
    with sink_errors(f"write to {path!r}"):
        _check(target, path)
    return target


def _check(target: Target, declared: str) -> None:
    path = Path(target.path)
    above = next((parent for parent in Path(declared).parents if parent.exists()), None)
    if above is not None and not above.is_dir():
        msg = f"cannot write {declared!r}: Not a directory ({str(above)!r} is a file); choose another path"
        raise SinkError(msg)
    if path.exists() and not path.is_file() and not path.is_dir():
        msg = f"{declared!r} is neither a file nor a directory (a device, pipe or socket); it cannot be replaced"
        raise SinkError(msg)
    if target.kind == "file":
        if path.is_dir() and not is_ours(target.path):
            msg = f"{declared!r} is a directory, not a file; end the path with '/' to write a directory of files"
            raise SinkError(msg)
        return
    noun = "Delta table" if target.kind == "delta" else "directory"
    by_name = target.kind == "delta" or declared.endswith("/")
    if path.exists() and not path.is_dir() and (by_name or not path.is_file()):
        msg = f"{declared!r} is a file, not a {noun}; choose another path or remove the file"
        raise SinkError(msg)
    if os.path.ismount(target.path):
        msg = f"{declared!r} is a mount point, which cannot be replaced; write to a folder below it"
        raise SinkError(msg)
    if Path.cwd().is_relative_to(path):
        msg = f"{declared!r} holds the working directory; a {noun} needs a folder of its own"
        raise SinkError(msg)
    if target.kind == "delta" and unquote(target.path) != target.path:
        msg = (
            f"{target.path!r} holds '%' and two digits, which readers of Delta tables take for another sign; rename it"
        )
        raise SinkError(msg)
    if target.kind == "delta" and not target.path.isprintable():
        msg = f"{target.path!r} holds signs that readers of Delta tables do not take; rename it"
        raise SinkError(msg)
    if target.kind == "directory" and (path / "_delta_log").is_dir():
        msg = f"{declared!r} is a Delta table; use format 'DELTA' or another path"
        raise SinkError(msg)


def is_ours(folder: str) -> bool:
    """Whether a directory holds files that Laktory has written there, and nothing else.

    An engine that writes directories has written it to a path that another engine writes a file to.
    """
    names = [entry.name for entry in os.scandir(folder)]
    return bool(names) and all(map(_OURS.fullmatch, names))


def is_other(target: Target) -> bool:
    """Whether a file lies where a directory is written, or the reverse: another engine has written it."""
    path = Path(target.path)
    return path.is_dir() if target.kind == "file" else path.is_file()


def exists(target: Target) -> bool:
    """Whether something has been written there: a file, a directory with content, a table with a version."""
    path = Path(target.path)
    if target.kind == "file" or path.is_file():
        return path.exists()
    if target.kind == "delta":
        path /= "_delta_log"
        return path.is_dir() and any(entry.suffix in {".json", ".parquet"} for entry in path.iterdir())
    return path.is_dir() and any(not entry.name.startswith(".") for entry in path.iterdir())


def staging_folder(target: Target) -> str:
    """The hidden folder beside a target: its lock, staged payloads, the pointer to a pending commit."""
    parent, _, name = target.path.rpartition("/")
    return f"{parent}/.laktory-{file_name(name)}"


def file_name(name: str) -> str:
    """A name that may be part of a file's name, with a prefix and an ending: file names end at 255 bytes."""
    return name if len(os.fsencode(name)) <= 200 else hashlib.sha256(os.fsencode(name)).hexdigest()
