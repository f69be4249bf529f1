"""SQL over named frames."""

# ruff: noqa: S608 - the statement is the user's, names are quoted by `_quoted`

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from laktory.engines._spark.failures import failure_of, is_failure, message_of, place_in
from laktory.errors import StepError
from laktory.expressions.reader import tokens_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame, SparkSession

__all__ = ["query", "syntax_error", "without_end"]

_SYNTAX = re.compile(r"PARSE_SYNTAX_ERROR|ParseException|^invalid argument: found|PARSE_")


def query(spark: SparkSession, statement: str, frames: Mapping[str, DataFrame]) -> DataFrame:
    """One query over frames, by the names the statement gives them.

    The names are common table expressions around the statement: no name of the session's catalog is touched, so that
    two pipelines in one session do not meet.

    Raises
    ------
    StepError
        A table, column, function or the syntax is unknown.
    """
    text = without_end(statement)
    if frames:  # only then are braces read
        text = text.replace("{", "{{").replace("}", "}}")
    arguments: dict[str, Any] = {f"laktory_{number}": frame for number, frame in enumerate(frames.values())}
    named = ", ".join(
        f"{_quoted(name)} AS (SELECT * FROM {{{key}}})" for name, key in zip(frames, arguments, strict=True)
    )
    whole = f"WITH {named} SELECT * FROM (\n{text}\n)" if named else text
    try:
        found = spark.sql(whole, **arguments)
        found.schema  # noqa: B018 - over Connect, a plan is looked at when its columns are asked for
    except Exception as error:
        if not is_failure(error):
            raise
        found_failure = failure_of(error)
        raise StepError(f"SQL: {found_failure}") from error
    return found


def syntax_error(spark: SparkSession, statement: str) -> tuple[str, int | None, int | None] | None:
    """``(message, line, column)`` of a statement that cannot be parsed, or None. Tables need not exist."""
    try:
        spark.sql(without_end(statement)).schema  # noqa: B018
    except Exception as error:
        if not is_failure(error):
            raise
        if not _is_of_syntax(error):
            return None
        line, column = place_in(str(error))
        return message_of(error), line, column
    return None


def _is_of_syntax(error: BaseException) -> bool:
    return type(error).__name__ == "ParseException" or _SYNTAX.search(str(error)) is not None


def _quoted(name: str) -> str:
    escaped = name.replace("`", "``").replace("{", "{{").replace("}", "}}")
    return f"`{escaped}`"


def without_end(statement: str) -> str:
    """The statement without a semicolon at its end; comments after it go too."""
    if ";" not in statement:
        return statement
    ends: list[Any] = [
        token for token in tokens_of(statement) or () if token.text == ";" and token.token_type.name == "SEMICOLON"
    ]
    return statement[: ends[0].start] if ends else statement
