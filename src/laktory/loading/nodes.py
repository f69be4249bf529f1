"""Values of a text beside their places in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from laktory.diagnostics import Mark, Position
from laktory.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from laktory.diagnostics import Path, Problem

__all__ = [
    "MAX_COPIES",
    "MAX_DEPTH",
    "Copies",
    "Include",
    "Node",
    "NodeMarks",
    "Place",
    "Point",
    "SourceFile",
    "TextError",
    "is_merge",
]

MAX_DEPTH = 128
"""Mappings and lists may stand inside one another this deep, included files counted with what includes them."""

MAX_COPIES = 1_000_000
"""Values that aliases and repeated includes may add to one definition."""


class Point(Protocol):
    """A place in a text, counted from 0."""

    @property
    def line(self) -> int:
        """0-based line."""
        ...

    @property
    def column(self) -> int:
        """0-based column."""
        ...


class Place(NamedTuple):
    """A `Point` of our own."""

    line: int
    column: int


class TextError(DefinitionError):
    """Nothing further can be found in this text, or, when `final`, in the whole definition; `problem` says why."""

    def __init__(self, problem: Problem, *, final: bool = False) -> None:
        super().__init__(problem.message, [problem])
        self.problem = problem
        self.final = final


@dataclass(slots=True, eq=False)
class SourceFile:
    """A text under the name the user knows it by, and whether it is JSON. `lines` count as YAML does."""

    name: str
    text: str
    lines: list[str] = field(init=False)
    json: bool = field(init=False)

    def __post_init__(self) -> None:
        self.json = self.name.lower().endswith(".json")
        self.lines = self.text.splitlines()

    def position(self, point: Point) -> Position:
        """`point` counted from 1, in this file."""
        return Position(self.name, point.line + 1, point.column + 1)


class Include(NamedTuple):
    """``!use``, ``!extend`` or ``!update`` (`verb`), and the path as written."""

    verb: str
    target: str


class Node:
    """A value and where it stands.

    Attributes
    ----------
    value : plain value; of a pending node an `Include`, or an empty ``dict`` or ``list``
    style : the quote or block indicator of a text, empty where there is none; ``file`` for a whole file taken as text
    children : of a list, its nodes; of a mapping, key → (node of the key, node of the value), or, while it is pending,
        a list of such pairs
    pending : depends on other files, or merges mappings; `value` is not there yet
    taken : `value` is part of a definition already; the next one needs a copy
    """

    __slots__ = ("children", "end", "file", "pending", "start", "style", "taken", "value")

    def __init__(
        self, value: Any, start: Point, end: Point, file: SourceFile, style: str = "", *, children: Any = None
    ) -> None:
        self.value = value
        self.start = start
        self.end = end
        self.file = file
        self.style = style
        self.children = children
        self.pending = False
        self.taken = False

    @property
    def position(self) -> Position:
        """Where the value starts."""
        return self.file.position(self.start)

    @property
    def width(self) -> int:
        """Characters of the value on its first line."""
        if self.end.line == self.start.line:
            return max(1, self.end.column - self.start.column)
        line = self.file.lines[self.start.line] if self.start.line < len(self.file.lines) else ""
        return max(1, len(line.rstrip()) - self.start.column) if self.style in ("|", ">", "'", '"') else 1

    def mark(self, key: Node | None) -> Mark:
        """The public form of the place."""
        text, indent = self._text_place()
        return Mark(
            value=self.position,
            key=key.position if key is not None else None,
            width=self.width,
            key_width=key.width if key is not None else 1,
            text=text,
            lines=self.style in ("|", "file"),
            indent=indent,
        )

    def _text_place(self) -> tuple[Position | None, int]:
        if type(self.value) is not str or type(self.children) is dict:
            return None, 0
        if self.style == "file":
            return self.position, 0
        line, column = self.start.line, self.start.column
        if self.style == "|":
            indent = self._block_indent()
            return Position(self.file.name, line + 2, indent + 1), indent
        shift = 1 if self.style else 0
        written = self.file.lines[line][column + shift :] if line < len(self.file.lines) else ""
        first = self.value.partition("\n")[0]
        # escapes, tags and folded lines move the text away from what is written
        same = self.style != ">" and self.end.line == line and written.startswith(first)
        return (Position(self.file.name, line + 1, column + shift + 1), 0) if same else (None, 0)

    def _block_indent(self) -> int:
        """Columns before the text of a literal block: those of the first line that has text."""
        first = self.value.lstrip("\n")
        blank = len(self.value) - len(first)
        line = self.start.line + 1 + blank
        written = self.file.lines[line] if line < len(self.file.lines) else ""
        return max(0, len(written) - len(first.partition("\n")[0]))


def is_merge(key: Node) -> bool:
    """Whether a key is the unquoted ``<<``."""
    return key.value == "<<" and not key.style


class Copies:
    """Copies plain values, up to `MAX_COPIES` of them for one definition."""

    def __init__(self) -> None:
        self.left = MAX_COPIES

    def copy(self, value: Any) -> Any:
        """A copy that shares no dict or list. Raises `OverflowError` beyond the limit."""
        self.count()
        if type(value) is dict:
            return {key: self.copy(item) for key, item in value.items()}
        if type(value) is list:
            return [self.copy(item) for item in value]
        return value

    def count(self, number: int = 1) -> None:
        """So many more values."""
        self.left -= number
        if self.left < 0:
            raise OverflowError


class NodeMarks(Mapping["Path", Mark]):
    """Marks by path, made from the nodes when asked for."""

    def __init__(self, root: Node) -> None:
        self._root = root

    def __getitem__(self, path: Path) -> Mark:
        node, key = self._find(path)
        return node.mark(key)

    def __contains__(self, path: object) -> bool:
        try:
            self._find(path)  # type: ignore[arg-type]
        except KeyError:
            return False
        return True

    def _find(self, path: Path) -> tuple[Node, Node | None]:
        node, key = self._root, None
        for item in path:
            children = node.children
            if type(children) is dict:
                key, node = children[item]
            elif type(children) is list and type(item) is int and 0 <= item < len(children):
                key, node = None, children[item]
            else:
                raise KeyError(path)
        return node, key

    def __iter__(self) -> Iterator[Path]:
        waiting: list[tuple[Path, Node]] = [((), self._root)]
        while waiting:
            path, node = waiting.pop()
            yield path
            if type(node.children) is dict:
                waiting += [((*path, key), child) for key, (_, child) in reversed(node.children.items())]
            elif type(node.children) is list:
                waiting += [((*path, index), child) for index, child in reversed(list(enumerate(node.children)))]

    def __len__(self) -> int:
        return sum(1 for _ in self)
