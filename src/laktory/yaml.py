"""The loader of definitions in the form that PyYAML takes."""

from __future__ import annotations

from typing import Any

import yaml

from laktory.loading import load

__all__ = ["RecursiveLoader"]


class RecursiveLoader(yaml.SafeLoader):
    """Plain values of a YAML text with its includes: ``yaml.load(fp, Loader=RecursiveLoader)``.

    ``!use``, ``!extend`` and ``!update`` start from the folder of the file, or from the working directory.

    Raises
    ------
    DefinitionError
        With every problem found, each at its place in its file.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__("")
        self._source = stream

    def get_single_data(self) -> Any:
        """The values; variables in them are left as they are."""
        return load(self._source).value
