"""SQL with the engine's own parser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import polars as pl

from laktory.engines.errors import reason
from laktory.errors import StepError
from laktory.expressions.statement import named_twice

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["query", "syntax_error"]

_PLACE = re.compile(r" at Line: (\d+), Column: (\d+)")
_PARSER = "sql parser error: "


def query(statement: str, frames: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
    """One query over the named frames, lazily.

    Raises
    ------
    StepError
        A table, column, function or the syntax is unknown.
    """
    twice = named_twice(statement, {name: id(frame) for name, frame in frames.items()})
    once = {id(frame): frame.cache() for frame in frames.values() if id(frame) in twice}
    tables = {name: once.get(id(frame), frame) for name, frame in frames.items()}
    try:
        return pl.SQLContext(tables).execute(statement, eager=False)
    except pl.exceptions.PolarsError as error:
        raise StepError(f"SQL: {reason(error).removeprefix(_PARSER)}") from error


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
