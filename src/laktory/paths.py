"""What the text of a path means: a place of the file system, a pattern of several, or a URL."""

from __future__ import annotations

import glob
import os
import re
from itertools import takewhile
from pathlib import PurePath
from typing import Literal

__all__ = ["before_pattern", "local_path", "path_kind", "url_scheme"]

_URL = re.compile(r"([^/]+)://")


def url_scheme(path: str) -> str | None:
    """Scheme of a URL, lower case, ``file`` among them; None for a path of the file system."""
    match = _URL.match(path)
    return match.group(1).lower() if match else None


def local_path(path: str) -> str | None:
    """A path of the file system, without ``file://``; None for a URL of the network."""
    scheme = url_scheme(path)
    if scheme is None:
        return path
    return path[len("file://") :] if scheme == "file" else None


def path_kind(path: str) -> Literal["directory", "file", "pattern"] | None:
    """What a local path names, None if there is nothing; what exists is meant literally, even with ``[`` in it."""
    if os.path.isdir(path):  # noqa: PTH112 - a path with a NUL or of odd bytes must not raise here
        return "directory"
    if os.path.exists(path):  # noqa: PTH110
        return "file"
    return "pattern" if glob.has_magic(path) else None


def before_pattern(path: str) -> str:
    """The folder before the first sign of a pattern; the path itself if there is none."""
    return str(PurePath(*takewhile(lambda part: not glob.has_magic(part), PurePath(path).parts)))
