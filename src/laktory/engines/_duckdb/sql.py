"""SQL over named frames."""

# ruff: noqa: S608 - the statement is the user's, names are quoted by `identifier`

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import duckdb

from laktory.engines._duckdb.failures import message_of, statement_failure
from laktory.engines._duckdb.storing import columns_of
from laktory.engines._duckdb.types import identifier
from laktory.errors import StepError
from laktory.expressions.reader import tokens_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

__all__ = ["Planner", "outside", "query", "refuse_equal_names", "syntax_error"]

_OPENED = re.compile(r'Cannot access file "(.*?)"')
_PLACE = re.compile(r"\n+LINE (\d+): (.*)\n( *)\^")


def outside() -> duckdb.DuckDBPyConnection:
    """A connection to nothing, that reaches no file and no network: statements are planned there first."""
    con = duckdb.connect(
        config={
            "enable_external_access": "false",
            "autoload_known_extensions": "false",
            "autoinstall_known_extensions": "false",
            "threads": "1",
        }
    )
    for setting in ("python_enable_replacements = false", "TimeZone = 'UTC'", "lock_configuration = true"):
        con.execute(f"SET {setting}")
    return con


class Planner:
    """Plans statements over empty tables before they run.

    The guard of statements reads the text; here DuckDB itself says what it would open. A name that is neither a frame
    nor defined by WITH is a file to it, or a view of the session.

    Parameters
    ----------
    con : from `outside`, or what may read files
    """

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self._tables: dict[str, str] = {}

    def refuse(self, statement: str, frames: Mapping[str, duckdb.DuckDBPyRelation]) -> None:
        """Plan a statement over empty tables of the columns of frames.

        Raises
        ------
        StepError
            The statement needs more than its frames, cannot be planned, or gives two columns one name.
        """
        # a source that fails here is no fault of the statement
        columns = {name: columns_of(frame) for name, frame in frames.items()}
        for found in columns.values():
            refuse_equal_names([name for name, _ in found])
        try:
            if len(self._con.extract_statements(statement)) != 1:
                msg = "SQL: one statement is expected"
                raise StepError(msg)
            empty = {name: f"FROM {self._table(found)}" for name, found in columns.items()}
            # a union by name is refused where a subquery gives a column another name and says nothing
            self._con.sql(f"{_named(empty)}{_inner(statement)} UNION ALL BY NAME (SELECT 1 AS laktory_probe)")
        except duckdb.PermissionException as error:
            file = _OPENED.search(str(error))
            msg = f"SQL: {f'{file[1]!r} names a file: ' if file else ''}a step reads no files; declare it as a source"
            raise StepError(msg) from error
        except duckdb.Error as error:
            raise statement_failure(error, frames) from error

    def _table(self, columns: Sequence[tuple[str, Any]]) -> str:
        """An empty table of some columns, made once: many statements read the same source."""
        told = ", ".join(f"{identifier(name)} {dtype}" for name, dtype in columns)
        if told not in self._tables:
            name = f"laktory_columns_{len(self._tables)}"
            self._con.execute(f"CREATE TEMP TABLE {name} ({told})")
            self._tables[told] = name
        return self._tables[told]

    def close(self) -> None:
        """Close the connection."""
        self._con.close()


def query(
    con: duckdb.DuckDBPyConnection,
    statement: str,
    frames: Mapping[str, duckdb.DuckDBPyRelation],
    sources: Mapping[duckdb.DuckDBPyRelation, str],
    once: Collection[duckdb.DuckDBPyRelation] = (),
) -> tuple[duckdb.DuckDBPyRelation, str]:
    """One query over frames, by the names the statement gives them, and its text.

    The names are common table expressions around the statement: nothing in the catalog is redefined while older
    relations still look there, and the statement itself cannot write, since only a top level may.

    Parameters
    ----------
    frames : frame by the name the statement gives it
    sources : query for the rows of each of them
    once : those of them that are computed before the statement reads them, several times

    Raises
    ------
    StepError
        A table, column, function or the syntax is unknown.
    """
    first: dict[duckdb.DuckDBPyRelation, str] = {}
    tables = {}
    for name, frame in frames.items():
        tables[name] = f"FROM {identifier(first[frame])}" if frame in first else sources[frame]
        if frame in once:
            first.setdefault(frame, name)
    text = f"{_named(tables, first.values())}SELECT * FROM {_inner(statement)}"
    try:
        return con.sql(text), text
    except duckdb.Error as error:
        raise statement_failure(error, frames) from error


def _named(tables: Mapping[str, str], once: Collection[str] = ()) -> str:
    named = ", ".join(
        f"{identifier(name)} AS {'' if name in once else 'NOT '}MATERIALIZED ({table})"
        for name, table in tables.items()
    )
    return f"WITH {named} " if named else ""


def _inner(statement: str) -> str:
    return f"(\n{_without_end(statement)}\n)"


def refuse_equal_names(columns: Sequence[str]) -> None:
    """Refuse what a native join can give: DuckDB would write only one of the columns, or rename one.

    Raises
    ------
    StepError
        Two columns have one name, case ignored.
    """
    seen: set[str] = set()
    for name in columns:
        if name.casefold() in seen:
            msg = f"two columns are named {name!r}, case ignored; give one another name"
            raise StepError(msg)
        seen.add(name.casefold())


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
    if ";" not in statement:
        return statement
    ends = [token for token in tokens_of(statement) or () if token.text == ";" and token.token_type.name == "SEMICOLON"]
    return statement[: ends[0].start] if ends else statement
