"""A definition as it was written: plain values, and where each of them stands."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laktory.diagnostics import Marks, Problem, closest_file, raise_problems
from laktory.errors import DefinitionError
from laktory.loading.nodes import SourceFile, TextError
from laktory.loading.scope import Scope
from laktory.loading.text import decode, read_file
from laktory.loading.variables import Resolver

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Document", "load"]

_SUFFIXES = (".yaml", ".yml", ".json")
_TEXT = "<text>"


@dataclass(frozen=True, slots=True)
class Document:
    """A loaded definition.

    Attributes
    ----------
    value : plain values: dict, list, str, int, float, bool, None, date, datetime
    marks : positions by path; `marks.lines` holds the text of every file included
    name : how the user named it: a path as typed, or ``<text>``
    """

    value: Any
    marks: Marks = field(default_factory=Marks)
    name: str = _TEXT

    @property
    def unwrapped(self) -> Document:
        """The definition itself where it is the single item of a list, as the seed shows a pipeline."""
        if isinstance(self.value, list) and len(self.value) == 1 and isinstance(self.value[0], dict):
            return replace(self, value=self.value[0], marks=self.marks.below((0,)))
        return self

    def resolve(
        self,
        vars: Mapping[str, Any] | None = None,  # noqa: A002
        *,
        strict: bool = True,
        objs: Mapping[str, Any] | None = None,
        override: bool = False,
    ) -> Document:
        """The same document with its variables resolved; see `laktory.loading.resolve`.

        Raises
        ------
        DefinitionError
            With every problem, each at its place in the file.
        """
        resolver = Resolver(strict=strict, objs=objs)
        value = resolver.resolve(self.value, Scope.start(vars, override=override))
        if resolver.problems:
            raise_problems(resolver.problems, self.marks)
        return replace(self, value=value, marks=self.marks.with_substituted(resolver.substituted))


def load(
    source: Any,
    *,
    vars: Mapping[str, Any] | None = None,  # noqa: A002
    root: str | Path | None = None,
    json: bool = False,
) -> Document:
    """Read a definition: YAML or JSON, with everything it includes.

    Parameters
    ----------
    source : path, YAML or JSON text, open file, or a dict or list, which is returned as it is. A ``str`` is a path
        when it is one line that names an existing file or ends with ``.yaml``, ``.yml`` or ``.json``.
    vars : variables for the paths of includes
    root : project folder, which includes may not leave; default the folder of the file, or for a text the working
        directory
    json : the text is JSON, and what is wrong with it is told in the words of JSON

    Raises
    ------
    DefinitionError
        With every problem found, each at its place in its file.
    """
    if isinstance(source, (dict, list)):
        return Document(source)
    try:
        file, path, folder = _read(source)
        file.json = json or file.json
    except TextError as stop:
        raise_problems([stop.problem])
    from laktory.loading.includes import Includer

    includer = Includer(folder, Path(root) if root is not None else folder, vars)
    value, marks = includer.build(file, path)
    if includer.problems:
        raise_problems(includer.problems, marks)
    return Document(value, marks, file.name)


def _read(source: Any) -> tuple[SourceFile, Path | None, Path]:
    """Text of the source, its path if it has one, and the folder relative includes start from."""
    if isinstance(source, str) and not _is_path(source):
        return SourceFile(_TEXT, source.removeprefix("\ufeff")), None, Path()
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        name = os.fspath(source)
        _check_exists(path, str(name))
        return SourceFile(str(name), read_file(path, str(name))), path, path.parent
    if isinstance(source, (bytes, bytearray)):
        return SourceFile(_TEXT, decode(bytes(source), _TEXT)), None, Path()
    if hasattr(source, "read"):
        return _read_stream(source)
    kind = type(source).__name__
    msg = f"cannot load a definition from a {kind!r}, expected a path, YAML or JSON text, an open file or a dict"
    raise DefinitionError(msg)


def _read_stream(stream: Any) -> tuple[SourceFile, Path | None, Path]:
    name = getattr(stream, "name", None)
    path = Path(name) if isinstance(name, (str, os.PathLike)) and not str(name).startswith("<") else None
    shown = str(name) if path is not None else _TEXT
    try:
        text = stream.read()
    except UnicodeDecodeError as error:
        message = f"the file is not {error.encoding.upper()}, the encoding it was opened with"
        raise TextError(Problem(f"{shown}: {message}", hint="open it with encoding='utf-8'")) from None
    except (OSError, ValueError) as error:
        raise TextError(Problem(f"{shown}: cannot be read: {error}", hint="give an open, readable file")) from None
    text = decode(text, shown) if isinstance(text, bytes) else text.removeprefix("\ufeff")
    return SourceFile(shown, text), path, path.parent if path is not None else Path()


def _is_path(text: str) -> bool:
    if len(text.splitlines()) != 1 or text.endswith("\n"):
        return False
    if text.endswith(_SUFFIXES) and ": " not in text and not text.startswith(("{", "[")):
        return True
    return os.path.isfile(text)  # noqa: PTH113 - long text is no error here


def _check_exists(path: Path, name: str) -> None:
    # names that no file system takes are no errors here
    if os.path.isdir(path):  # noqa: PTH112
        raise TextError(Problem(f"{name!r} is a folder, expected a file"))
    if not os.path.exists(path):  # noqa: PTH110
        near = sorted(os.listdir(path.parent)) if os.path.isdir(path.parent) else []  # noqa: PTH112, PTH208
        hint = closest_file(path.name, near) if near else f"the folder {str(path.parent)!r} does not exist or is empty"
        raise TextError(Problem(f"there is no file {name!r}", hint=hint))
