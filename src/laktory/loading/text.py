"""Bytes and files → text."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from laktory.diagnostics import Position, Problem
from laktory.loading.nodes import TextError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["decode", "neighbours", "read_file"]

_MAX_LISTED = 1000

_OTHER_ENCODINGS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


def read_file(path: Path, name: str, position: Position | None = None) -> str:
    """Text of a file. `position` is where the definition names it.

    Raises
    ------
    TextError
        If it cannot be read or is not UTF-8.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise TextError(Problem(f"file {name!r} cannot be read: {reason}", position=position)) from None
    return decode(data, name)


def decode(data: bytes, name: str) -> str:
    """UTF-8 text, a byte order mark dropped.

    Raises
    ------
    TextError
        If it is in another encoding, naming the line of the first wrong byte.
    """
    for mark, encoding in _OTHER_ENCODINGS.items():
        if data.startswith(mark):
            raise TextError(
                Problem(
                    f"the file is in {encoding}, expected UTF-8", hint="save it as UTF-8", position=Position(name, 1, 1)
                )
            )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
        message = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise TextError(
            Problem(message, hint="save the file as UTF-8", position=Position(name, line, column))
        ) from None


def neighbours(folder: Path) -> list[str]:
    """Names of what lies beside a missing file, to guess from; none where the folder cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for _, entry in zip(range(_MAX_LISTED), entries, strict=False)]
    except (OSError, ValueError):
        return []
