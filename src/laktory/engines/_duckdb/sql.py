"""SQL over named frames."""

# ruff: noqa: S608 - the statement is the user's, names are quoted by `identifier`

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import duckdb

from laktory.engines._duckdb.failures import message_of, statement_failure
from laktory.engines._duckdb.types import identifier
from laktory.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["query", "syntax_error"]

_PLACE = re.compile(r"\n+LINE (\d+): (.*)\n( *)\^")


def query(con: duckdb.DuckDBPyConnection, statement: str, views: Mapping[str, str]) -> duckdb.DuckDBPyRelation:
    """One query over views, by the names the statement gives them.

    The names are common table expressions around the statement: nothing in the catalog is redefined while older
    relations still look there, and the statement itself cannot write, since only a top level may.

    Raises
    ------
    StepError
        A table, column, function or the syntax is unknown, or two columns have one name.
    """
    try:
        if len(con.extract_statements(statement)) != 1:
            msg = "SQL: one statement is expected"
            raise StepError(msg)
        tables = ", ".join(
            f"{identifier(name)} AS NOT MATERIALIZED (FROM {identifier(view)})" for name, view in views.items()
        )
        inner = _without_end(statement)
        relation = con.sql(f"{f'WITH {tables} ' if tables else ''}SELECT * FROM (\n{inner}\n)")
    except duckdb.Error as error:
        raise statement_failure(error, views) from error
    refuse_equal_names(relation.columns)
    return relation


def refuse_equal_names(columns: list[str]) -> None:
    """DuckDB does not tell apart names that differ only by case.

    Raises
    ------
    StepError
        Two names are the same for DuckDB.
    """
    seen: dict[str, str] = {}
    for name in columns:
        other = seen.setdefault(name.casefold(), name)
        if other is not name and seen[name.casefold()] != name:
            msg = f"columns {other!r} and {name!r} differ only by case, which DUCKDB does not tell apart; rename one"
            raise StepError(msg)
    if len(seen) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        msg = f"SQL: two columns are named {twice!r}; give one of them another name with AS"
        raise StepError(msg)


def syntax_error(con: duckdb.DuckDBPyConnection, statement: str) -> tuple[str, int | None, int | None] | None:
    """``(message, line, column)`` of a statement that cannot be parsed, or None. Tables need not exist."""
    try:
        found = con.extract_statements(statement)
    except duckdb.Error as error:
        place = _PLACE.search(str(error))
        if place is None:
            return message_of(error), None, None
        line = int(place[1])
        return message_of(error), line, _column(statement, line, place)
    return None if len(found) == 1 else ("one statement is expected", None, None)


def _column(statement: str, line: int, place: re.Match[str]) -> int:
    """Column below the caret; long lines are quoted in part, with dots."""
    quoted = place[2]
    column = len(place[3]) - len(f"LINE {line}: ")
    if quoted.startswith("..."):
        lines = statement.split("\n")
        part = quoted.removeprefix("...").removesuffix("...")
        start = lines[line - 1].find(part) if line <= len(lines) else -1
        column += start - 3 if start >= 0 else 0
    return column + 1


def _without_end(statement: str) -> str:
    """The statement without a semicolon at its end; comments after it go too."""
    from sqlglot.dialects.duckdb import DuckDB

    if ";" not in statement:
        return statement
    tokens = DuckDB.Tokenizer().tokenize(statement)
    ends = [token for token in tokens if token.text == ";" and token.token_type.name == "SEMICOLON"]
    return statement[: ends[0].start] if ends else statement
