"""Calls of functions in a statement, each with the query that it belongs to.

Pure functions on text. Names of tables and columns stay as they are written: what they mean, an engine says.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from laktory.expressions.reader import tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlglot.tokenizer_core import Token

__all__ = ["Call", "Definition", "Span", "calls"]

_UNITING = frozenset({"UNION", "INTERSECT", "EXCEPT"})
_AFTER_ROWS = frozenset({"HAVING", "QUALIFY", "ORDER", "LIMIT", "OFFSET", "FETCH"})
_AFTER_TABLES = _AFTER_ROWS | {"SELECT", "WHERE", "GROUP", "WINDOW", ";"}


class Span(NamedTuple):
    """``text[start:end]``."""

    start: int
    end: int


class Definition(NamedTuple):
    """``name AS (…)`` of a WITH, which may read itself if it is recursive."""

    name: str
    whole: Span
    recursive: bool


class Call(NamedTuple):
    """``name(argument)`` of one argument.

    Attributes
    ----------
    name : upper case
    whole : with the FILTER and OVER that belong to it
    argument : without DISTINCT
    cast : the type, where the argument is ``CAST(… AS type)``
    tables : FROM clause of its query
    head : its query up to HAVING, QUALIFY or ORDER BY, if it stands there and may use names of the SELECT list
    definitions : those of WITH that its query may use
    """

    name: str
    whole: Span
    argument: Span
    cast: Span | None
    tables: Span | None
    head: Span | None
    definitions: tuple[Definition, ...]


@lru_cache(maxsize=1_000)
def calls(sql: str, names: frozenset[str]) -> tuple[Call, ...]:
    """Calls of the named functions, those first on which the types of others depend.

    Empty when a quote or a bracket is not closed.
    """
    tokens = tokens_of(sql)
    try:
        return () if tokens is None else tuple(_Statement(sql, tokens).calls(names))
    except (IndexError, KeyError):  # brackets that do not match
        return ()


class _Select(NamedTuple):
    """Parts of a SELECT; `last` and `head_ends` are tokens."""

    last: int
    tables: Span | None
    head: Span | None
    head_ends: int


class _Statement:
    """Tokens with their brackets; -1 stands for a bracket around all."""

    def __init__(self, sql: str, tokens: list[Token]) -> None:
        self.sql, self.tokens = sql, tokens
        self.texts = [sql[token.start : token.end + 1] for token in tokens]
        before = ["", *(text.upper() for text in self.texts)]
        # of several words, such as GROUP BY, the first; a name is none of the language
        self.words = ["" if previous in {".", "AS"} else word.split()[0] for previous, word in pairwise(before)]
        self.levels: dict[int, list[int]] = {}
        self.selects: dict[int, list[_Select]] = {}
        self.closing = {-1: len(tokens)}
        self.around: list[int] = []
        opened = [-1]
        for index, token in enumerate(tokens):
            if sql[token.start] in ")]}":
                self.closing[opened.pop()] = index
            self.around.append(opened[-1])
            if sql[token.start] in "([{":
                opened.append(index)

    def calls(self, names: frozenset[str]) -> list[Call]:
        found = []
        for index, token in enumerate(self.tokens[:-2]):
            if token.text.upper() not in names or self.text(index + 1) != "(":
                continue
            last = self.closing[index + 1] - 1
            first = index + 2 + (self.word(index + 2) in {"DISTINCT", "ALL"})
            if first > last or not self.word(index) or self.is_definition(last + 1) or self.is_alias(index):
                continue
            query = self.query_of(index)
            call = Call(
                token.text.upper(),
                self.span(index, self.end_of_call(last + 1)),
                self.span(first, last),
                self.cast(first, last),
                *self.rows_of(index, query),
                tuple(self.definitions(index, query)),
            )
            found.append(((self.closing[query], last), call))
        return [call for _, call in sorted(found, key=lambda item: item[0])]

    # ---- looking at tokens -------------------------------------------------------------------------

    def text(self, index: int) -> str:
        """As it is written, quotes included."""
        return self.texts[index] if 0 <= index < len(self.texts) else ""

    def word(self, index: int) -> str:
        """In upper case, if it may be a word of the language."""
        return self.words[index] if 0 <= index < len(self.words) else ""

    def span(self, first: int, last: int) -> Span:
        return Span(self.tokens[first].start, self.tokens[last].end + 1)

    def level(self, bracket: int) -> list[int]:
        """Tokens inside a bracket, without those in brackets of their own."""
        if bracket not in self.levels:
            found, index = [], bracket + 1
            while index < self.closing[bracket]:
                found.append(index)
                index = self.closing.get(index, index) + 1
            self.levels[bracket] = found
        return self.levels[bracket]

    def lifted(self, index: int, bracket: int) -> int:
        """The token at the level of a bracket around it."""
        while self.around[index] != bracket:
            index = self.around[index]
        return index

    # ---- parts of a query --------------------------------------------------------------------------

    def query_of(self, index: int) -> int:
        bracket = self.around[index]
        while bracket != -1 and not any(self.word(part) == "SELECT" for part in self.level(bracket)):
            bracket = self.around[bracket]
        return bracket

    def is_definition(self, closing: int) -> bool:
        """Whether ``name (columns)`` begins one of WITH."""
        following = closing + 1
        while self.text(following).upper() in {"AS", "NOT", "MATERIALIZED"}:
            following += 1
        return following > closing + 1 and self.text(following) == "("

    def is_alias(self, index: int) -> bool:
        """Whether ``name (columns)`` is what a subquery is called, without AS; a call follows ``DISTINCT ON (…)``."""
        if self.text(index - 1) != ")":
            return False
        opening = next(begun for begun, end in self.closing.items() if end == index - 1)
        return self.word(opening - 1) != "ON"

    def end_of_call(self, index: int) -> int:
        for word in ("FILTER", "OVER"):
            if self.word(index + 1) == word:
                index += 2
                index = self.closing.get(index, index)
        return index

    def cast(self, first: int, last: int) -> Span | None:
        if self.word(first) != "CAST" or self.closing.get(first + 1) != last:
            return None
        said = [part for part in self.level(first + 1) if self.text(part).upper() == "AS"]
        return self.span(said[-1] + 1, last - 1) if said and said[-1] + 1 < last else None

    def rows_of(self, index: int, bracket: int) -> tuple[Span | None, Span | None]:
        """FROM clause of the SELECT around a token, and the SELECT up to the clause that the token is in."""
        here = self.lifted(index, bracket)
        if bracket not in self.selects:
            self.selects[bracket] = list(self.united(bracket))
        select = next(select for select in self.selects[bracket] if here <= select.last)
        return select.tables, select.head if here > select.head_ends else None

    def united(self, bracket: int) -> Iterator[_Select]:
        """The SELECTs at a level, between UNION and the like."""
        parts: list[int] = []
        for part in [*self.level(bracket), self.closing[bracket]]:
            ends = part == self.closing[bracket] or (self.word(part) in _UNITING and self.text(part - 1) != "*")
            if not ends:
                parts.append(part)
                continue
            words = [(item, self.word(item)) for item in parts]
            begun = next((item for item, word in words if word in {"SELECT", "FROM"}), None)
            tables = next((item for item, word in words if word == "FROM" and not self.is_compared(item)), None)
            head_ends = next((item for item, word in words if word in _AFTER_ROWS), part)
            tables_end = next(
                (item for item, word in words if tables is not None and item > tables and word in _AFTER_TABLES), part
            )
            yield _Select(
                part,
                None if tables is None else self.span(tables, tables_end - 1),
                None if begun is None or begun >= head_ends else self.span(begun, head_ends - 1),
                head_ends,
            )
            parts = []

    def is_compared(self, index: int) -> bool:
        """Whether FROM is that of IS DISTINCT FROM."""
        return self.word(index - 1) == "DISTINCT" and self.word(index - 2) in {"IS", "NOT"}

    def definitions(self, index: int, bracket: int) -> list[Definition]:
        """Of WITH around a token, the outermost first; a definition sees those before it."""
        found: list[list[Definition]] = []
        while True:
            if self.word(bracket + 1) == "WITH":
                found.append(list(self.defined(self.lifted(index, bracket), bracket)))
            if bracket == -1:
                return [definition for level in reversed(found) for definition in level]
            bracket = self.around[bracket]

    def defined(self, here: int, bracket: int) -> Iterator[Definition]:
        """By the WITH at the beginning of a bracket, before a token at its level."""
        recursive = self.word(bracket + 2) == "RECURSIVE"
        begun = bracket + 2 + recursive
        for part in self.level(bracket):
            if self.text(part) == "(" and self.text(part - 1).upper() in {"AS", "MATERIALIZED"}:
                if part == here:
                    return
                yield Definition(self.tokens[begun].text, self.span(begun, self.closing[part]), recursive)
                begun = self.closing[part] + 2
                if self.text(begun - 1) != ",":
                    return
