"""A statement in the words of another engine, by sqlglot."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from laktory.diagnostics import Problem, closest
from laktory.expressions.placeholders import bind
from laktory.expressions.reader import reader, silence

__all__ = ["dialect_problem", "translated"]


def dialect_problem(name: str) -> Problem | None:
    """What is wrong with the name of a dialect: sqlglot has none of this name."""
    with silence():
        reader("duckdb")
    from sqlglot.dialects.dialect import Dialects

    valid = sorted(each.value for each in Dialects if each.value)
    if name in valid:
        return None
    return Problem(f"{name!r} is no SQL dialect", (), valid, closest(name, valid))


@lru_cache(maxsize=2048)
def translated(text: str, source: str, target: str) -> str | Problem:
    """The statement in the words of `target`, or why it cannot be said there.

    Parameters
    ----------
    text : statement with placeholders, which are kept
    source, target : dialects of sqlglot
    """
    from sqlglot import ErrorLevel
    from sqlglot.errors import SqlglotError, UnsupportedError

    statement = bind(text)
    try:
        with silence():
            trees = reader(source).parse(statement.sql)
            if len(trees) != 1 or trees[0] is None:
                return Problem("a step holds exactly one query", hint="write one step per query, or use WITH")
            made = trees[0].sql(dialect=target, unsupported_level=ErrorLevel.RAISE, pretty=True)
    except UnsupportedError as error:
        said = str(error).partition("\n")[0]
        message = f"this {source} statement cannot be written for {target}: {said}"
        return Problem(message, hint=f"write it otherwise, or for this engine with 'dialect: {target}'")
    except (SqlglotError, RecursionError) as error:
        return _not_read(statement, source, error)
    for key, name in statement.names.items():
        made = re.sub(rf"[\"`]?\b{re.escape(name)}\b[\"`]?", lambda _, key=key: f"{{{key}}}", made)  # type: ignore[misc]
    return made


def _not_read(statement: Any, source: str, error: Exception) -> Problem:
    details: list[dict[str, Any]] = getattr(error, "errors", [])
    if not details or not details[0].get("line"):
        return Problem(f"the SQL text cannot be understood as {source}", hint="write one plain query")
    first = details[0]
    near = str(first.get("highlight") or "")
    line, column = statement.place_of(int(first["line"]), max(1, int(first["col"]) - len(near) + 1))
    message = f"the SQL text cannot be understood as {source} near {statement.in_user_words(near)!r}"
    return Problem(message, line=line, column=column)
