"""Placeholders of SQL statements: found by the tokenizer and replaced by their spans, so that quoted text, comments and
struct literals are never touched."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from laktory.expressions.reader import tokens_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

__all__ = ["Placeholder", "Statement", "bind", "folded", "line_column", "named_twice", "placeholders", "substitute"]

T = TypeVar("T", bound="Hashable")

_PLACEHOLDER = re.compile(r"\{([^\W\d][\w .@$|\[\]-]*)\}")
_NOT_BARE = re.compile(r"['\"`#$]|--|/\*|//|\{[{%#]")
"""Where quotes, comments and templates may begin: without them every placeholder is one."""
_QUOTED = re.compile(r"[\"'`](\w+)[\"'`]")


class Placeholder(NamedTuple):
    """``{key}`` at ``text[start:end]``."""

    key: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement whose placeholders were replaced by table names.

    Attributes
    ----------
    text : as the user wrote it
    sql : what the engine receives
    names : placeholder key → table name
    """

    text: str
    sql: str
    names: Mapping[str, str]
    _spans: tuple[Placeholder, ...] = field(default=(), repr=False)

    def place(self, offset: int) -> tuple[int, int]:
        """1-based line and column in `text` of a 0-based offset in `sql`."""
        shift = 0
        for key, start, end in self._spans:
            begin = start + shift
            if offset < begin:
                break
            if offset < begin + len(self.names[key]):
                return line_column(self.text, start)
            shift += len(self.names[key]) - (end - start)
        return line_column(self.text, offset - shift)

    def place_of(self, line: int, column: int) -> tuple[int, int]:
        """1-based line and column in `text` of a 1-based line and column in `sql`."""
        lines = self.sql.splitlines(keepends=True)
        return self.place(sum(len(text) for text in lines[: line - 1]) + column - 1)

    def place_named(self, message: str) -> tuple[int, int] | None:
        """Place in `text` of what a message names first, in quotes: a column, a function, a table."""
        from sqlglot.tokenizer_core import TokenType

        named = _QUOTED.search(message)
        tokens = (tokens_of(self.sql) or ()) if named else ()
        found = next(
            (t for t in tokens if named and folded(t.text) == folded(named[1]) and t.token_type != TokenType.STRING),
            None,
        )
        return None if found is None else self.place(found.start)

    def in_user_words(self, message: str) -> str:
        """A message of an engine with placeholders instead of table names."""
        for key, name in self.names.items():
            message = re.sub(rf"(?i)\"?\b{re.escape(name)}\b\"?", f"{{{key}}}".replace("\\", r"\\"), message)
        return message


@lru_cache(maxsize=2048)
def placeholders(text: str) -> tuple[Placeholder, ...]:
    """Every placeholder of a statement, in order. Empty when the text cannot be tokenized."""
    found = [Placeholder(match[1], match.start(), match.end()) for match in _PLACEHOLDER.finditer(text)]
    if not found:
        return ()
    if not _NOT_BARE.search(text):
        return tuple(found)
    # names of nodes may hold '--' or spaces: the tokenizer sees a plain word of the same length instead
    filled = _PLACEHOLDER.sub(lambda match: "{" + "_" * (len(match[0]) - 2) + "}", text)
    tokens = tokens_of(filled)
    starts = {token.start for token in tokens or () if token.text == "{"}
    return tuple(item for item in found if item.start in starts)


def substitute(text: str, names: Mapping[str, str]) -> str:
    """`text` with the placeholders that `names` has replaced by their spans."""
    parts, position = [], 0
    for key, start, end in placeholders(text):
        if key in names:
            parts += [text[position:start], names[key]]
            position = end
    return "".join([*parts, text[position:]])


def bind(text: str) -> Statement:
    """Give every placeholder a table name that is safe on every engine and occurs nowhere else in the text."""
    spans = placeholders(text)
    taken = text.casefold()
    names: dict[str, str] = {}
    for key, _, _ in spans:
        if key in names:
            continue
        stem = name = f"__{re.sub('[^0-9A-Za-z_]', '_', key)}__"
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}{number}__"
        names[key] = name
        taken += f" {name.casefold()}"
    return Statement(text, substitute(text, names), names, spans)


def named_twice(statement: str, tables: Mapping[str, T]) -> set[T]:
    """Those of the tables (by the names a statement has for them) that it reads more than once.

    A name before a point belongs to a column.
    """
    found: Counter[T] = Counter()
    for name, table in tables.items():
        found[table] += len(re.findall(rf"(?<!\w){re.escape(name)}(?!\w|\s*\.)", statement, re.IGNORECASE))
    return {table for table, count in found.items() if count > 1}


def folded(name: str) -> str:
    """As engines compare names: only the letters A to Z have a case."""
    return re.sub("[A-Z]+", lambda match: match[0].lower(), name)


def line_column(text: str, offset: int) -> tuple[int, int]:
    """1-based line and column of a 0-based offset."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1
