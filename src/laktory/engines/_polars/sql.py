"""SQL with the engine's own parser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import polars as pl

from laktory.engines.errors import reason
from laktory.errors import StepError
from laktory.expressions.names import without_second_keys
from laktory.expressions.placeholders import named_twice

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["query", "syntax_error"]

_PLACE = re.compile(r" at Line: (\d+), Column: (\d+)")
_PARSER = "sql parser error: "
_STARS = re.compile(r"\b(?:using|exclude)\b", re.IGNORECASE)


def query(statement: str, frames: Mapping[str, pl.LazyFrame], plain: Collection[str] = ()) -> pl.LazyFrame:
    """One query over the named frames, lazily.

    Parameters
    ----------
    plain : names of those that are files as they are: to read them again costs less than to keep their rows

    Raises
    ------
    StepError
        A table, column, function or the syntax is unknown.
    """
    statement = _one_key(statement, frames)
    twice = named_twice(statement, {name: id(frame) for name, frame in frames.items()})
    once = {
        id(frame): frame.cache()
        for frame in frames.values()
        if id(frame) in twice - {id(frames[name]) for name in plain}
    }
    tables = {name: once.get(id(frame), frame) for name, frame in frames.items()}
    try:
        return pl.SQLContext(tables).execute(statement, eager=False)
    except pl.exceptions.PolarsError as error:
        raise StepError(f"SQL: {reason(error).removeprefix(_PARSER)}") from error


def _one_key(statement: str, frames: Mapping[str, pl.LazyFrame]) -> str:
    """The statement, in which ``*`` leaves out what a join adds under names such as ``id:b``."""
    if _STARS.search(statement) is None:
        return statement
    statement, out = without_second_keys(statement, "{0}:{1}".format)
    if real := {name for frame in frames.values() for name in frame.collect_schema()}.intersection(out) if out else ():
        msg = f"SQL: the column {min(real)!r} cannot be told from a key that the join has twice; rename it first"
        raise StepError(msg)
    return statement


def syntax_error(statement: str) -> tuple[str, int | None, int | None] | None:
    """``(message, line, column)`` of a statement that cannot be parsed, or None. Tables need not exist."""
    try:
        pl.SQLContext().execute(statement, eager=False)
    except pl.exceptions.SQLInterfaceError as error:
        message = reason(error)
        if not message.startswith(_PARSER):
            return (message, None, None) if "one (and only one) statement" in message else None
        place = _PLACE.search(message)
        message = _PLACE.sub("", message.removeprefix(_PARSER))
        return (message, int(place[1]), int(place[2])) if place else (message, None, None)
    except pl.exceptions.SQLSyntaxError as error:
        return reason(error), None, None
    except pl.exceptions.PolarsError:
        return None
    return None
