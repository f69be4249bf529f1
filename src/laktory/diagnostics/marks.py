"""Where each value of a parsed definition stands in the text it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Mark", "Marks", "Path", "Position", "Substitution", "field_name"]

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


@dataclass(frozen=True, slots=True)
class Substitution:
    """How the text of a value came from the one that is written.

    `spans` are the references, in order: where each starts and ends in what is written, and where its value starts
    and ends in `text`.
    """

    written: str
    text: str
    spans: tuple[tuple[int, int, int, int], ...]

    def place(self, line: int, column: int) -> tuple[int, int, int]:
        """Line, column and width in what is written, of a place in `text`; inside a value, those of its reference."""
        starts = [0]
        for piece in self.text.split("\n"):
            starts.append(starts[-1] + len(piece) + 1)
        offset, width = starts[min(line, len(starts)) - 1] + column - 1, 1
        moved = 0
        for start, end, first, last in self.spans:
            if offset < first:
                break
            if offset < last:
                offset, moved, width = start, 0, end - start
                break
            moved = end - last
        offset += moved
        return self.written.count("\n", 0, offset) + 1, offset - self.written.rfind("\n", 0, offset), width


class _Both(Mapping[Path, Substitution | None]):
    """What `newer` says, else what `older` says."""

    def __init__(self, newer: Mapping[Path, Substitution | None], older: Mapping[Path, Substitution | None]) -> None:
        self._newer, self._older = newer, older

    def __getitem__(self, path: Path) -> Substitution | None:
        return self._newer[path] if path in self._newer else self._older[path]

    def __iter__(self) -> Iterator[Path]:
        return iter({**self._newer, **self._older})

    def __len__(self) -> int:
        return len({**self._newer, **self._older})


@dataclass(slots=True)
class Marks:
    """Marks of every value of one definition, and the lines of the files they point into.

    `root` is put before every path that is looked up. `substituted` says, for texts that held references, how they
    came from what is written, or None where that cannot be told. `in_memory` tells what is not as it was written.
    """

    by_path: Mapping[Path, Mark] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    root: Path = ()
    substituted: Mapping[Path, Substitution | None] = field(default_factory=dict)
    in_memory: Callable[[Path], bool] | None = None

    def __deepcopy__(self, memo: object) -> Marks:
        """What is written does not change with a copy."""
        return self

    def below(self, path: Path) -> Marks:
        """The same marks for a definition that starts at `path` of this one."""
        return replace(self, root=(*self.root, *path)) if path else self

    def with_substituted(self, substituted: Mapping[Path, Substitution | None]) -> Marks:
        """The same marks after references were resolved; what was resolved twice has no places inside."""
        found: dict[Path, Substitution | None] = {}
        for path, how in substituted.items():
            whole = (*self.root, *path)
            found[whole] = None if whole in self.substituted else how
        return replace(self, substituted=_Both(found, self.substituted)) if found else self

    def place(self, path: Path, line: int | None = None, column: int | None = None) -> tuple[Position, int] | None:
        """Where a value, or a place inside its text, is written, and how many characters to underline."""
        found = self.nearest(path)
        if found is None:
            return None
        mark, exact = found
        if exact and line is not None:
            column, width = column or 1, 1
            whole = (*self.root, *path)
            if whole in self.substituted:
                how = self.substituted[whole]
                if how is None:
                    return mark.value, mark.width
                line, column, width = how.place(line, column)
            inside = mark.inside(line, column)
            if inside is not None:
                return inside, width
        return mark.value, mark.width

    def nearest(self, path: Path) -> tuple[Mark, bool] | None:
        """Mark of `path`, or of its closest known ancestor; the flag says whether it is exact."""
        if self.in_memory is not None and self.in_memory((*self.root, *path)):
            return None
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
