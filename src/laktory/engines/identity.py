"""Files as they stood when a plan over them was made.

A plan keeps what it learned of a file (its columns, where its rows lie). Applied to another file of the same name it
gives rows of neither.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from laktory.errors import SourceError
from laktory.paths import local_path

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SeenFiles"]


class SeenFiles(dict[str, tuple[int, int, int, int]]):
    """Device, inode, size and time of change of files, by path."""

    def add(self, files: Iterable[str]) -> None:
        """Note files that are about to be opened. The first note of a file stands."""
        for file in files:
            if file not in self and local_path(file) is not None and (found := _identity(file)) is not None:
                self[file] = found

    def merge(self, other: SeenFiles) -> None:
        """Take over the notes of another plan that becomes part of this one.

        Raises
        ------
        SourceError
            The two saw different files under one name.
        """
        for file, noted in list(other.items()):  # threads may open the same output
            if self.setdefault(file, noted) != noted:
                raise _changed(file)

    def check(self) -> None:
        """Refuse what was computed if one of the files is another one by now.

        A file that is gone is none of these: what was read of it was read from the file that was noted.

        Raises
        ------
        SourceError
            Names the file.
        """
        for file, noted in self.items():
            found = _identity(file)
            if found is not None and found != noted:
                raise _changed(file)


def _changed(file: str) -> SourceError:
    return SourceError(
        f"{file!r} changed while it was read, so the rows may be neither the old nor the new ones; run again"
    )


def _identity(file: str) -> tuple[int, int, int, int] | None:
    """None for what is not there, a folder (a Delta table is read at a version), or a pipe."""
    try:
        found = os.stat(file)  # noqa: PTH116 - once for each file of a source
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None
