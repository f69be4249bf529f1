"""Where each value of a parsed definition stands in the text it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Mark", "Marks", "Path", "Position", "field_name"]

Path = tuple[str | int, ...]
"""Keys and indexes from the root of a definition to a value, e.g. ``("nodes", 0, "source", "path")``."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text file. `line` and `column` count from 1."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a value starts, and, inside a mapping, where its key starts.

    `width` is the number of characters of the key (or value) to underline on its line.
    `text` is where the first character of a text value stands (behind the quote, on the line below ``|``),
    or None where places inside the text cannot be told (escapes, folded lines). With `lines`, its further lines
    follow one by one, each indented by `indent` columns; without, only its first line has a place.
    """

    value: Position
    key: Position | None = None
    width: int = 1
    key_width: int = 1
    text: Position | None = None
    lines: bool = False
    indent: int = 0

    def inside(self, line: int, column: int) -> Position | None:
        """Place of 1-based `line` and `column` of the value's text, or None where it cannot be told."""
        if self.text is None or (line > 1 and not self.lines):
            return None
        if line == 1:
            return Position(self.text.path, self.text.line, self.text.column + column - 1)
        return Position(self.text.path, self.text.line + line - 1, self.indent + column)


@dataclass(slots=True)
class Marks:
    """Marks of every value of one definition, and the lines of the files they point into.

    `root` is put before every path that is looked up.
    """

    by_path: Mapping[Path, Mark] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    root: Path = ()

    def below(self, path: Path) -> Marks:
        """The same marks for a definition that starts at `path` of this one."""
        return Marks(self.by_path, self.lines, (*self.root, *path))

    def nearest(self, path: Path) -> tuple[Mark, bool] | None:
        """Mark of `path`, or of its closest known ancestor; the flag says whether it is exact."""
        for end in range(len(path), -1, -1):
            mark = self.by_path.get((*self.root, *path[:end]))
            if mark is not None:
                return mark, end == len(path)
        return None

    def line(self, position: Position) -> str | None:
        """Text of the line a position stands on."""
        lines = self.lines.get(position.path)
        if lines is None or not 0 < position.line <= len(lines):
            return None
        return lines[position.line - 1]


def field_name(path: Path) -> str:
    """`("nodes", 0, "name")` as ``nodes[0].name``."""
    text = ""
    for item in path:
        if isinstance(item, int):
            text += f"[{item}]"
        else:
            text += f".{item}" if text else str(item)
    return text
