"""Paths that Spark takes as they are: it takes signs in others for patterns, keys of partitions or parts of a URL."""

from __future__ import annotations

import os
import re
from itertools import count
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PlainPaths"]

_PLAIN = re.compile(r"/(?:[A-Za-z0-9._/-]*/)?[A-Za-z0-9][A-Za-z0-9._-]*")
_ENDING = re.compile(r"(?:\.[A-Za-z0-9]+)*$")


class PlainPaths:
    """Links of plain names to files and folders that have none.

    A name that begins with ``_`` or ``.`` is not plain either: Spark leaves out such a file, even if it is asked for.

    Parameters
    ----------
    folder : where the links are made, on first need
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._links: dict[str, str] = {}
        self._numbers = count()

    def of(self, path: str) -> str:
        """The absolute path of a file or folder, or of a link to it."""
        path = os.path.abspath(path)  # noqa: PTH100 - links on the way stay
        if _PLAIN.fullmatch(path):
            return path
        if path not in self._links:
            self._folder.mkdir(parents=True, exist_ok=True)
            ending = _ENDING.search(PurePath(path).name)
            link = self._folder / f"{next(self._numbers)}{ending[0] if ending else ''}"
            link.symlink_to(path)
            self._links[path] = str(link)
        return self._links[path]

    def all_of(self, paths: Iterable[str]) -> list[str]:
        """`of` each of them."""
        return [self.of(path) for path in paths]

    def shown(self, text: str) -> str:
        """A message with what the links lead to in place of the links."""
        for path, link in self._links.items():
            text = text.replace(link, path)
        return text
