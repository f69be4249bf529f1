"""SQL over named frames."""

# ruff: noqa: S608 - the statement is the user's, names are quoted by `_quoted`

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from laktory.engines._spark.connection import is_sail
from laktory.engines._spark.failures import failure_of, is_failure, message_of, place_in, syntax_words
from laktory.engines._spark.widening import is_narrow, widened
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
    two pipelines in one session do not meet. Lengths, parts of dates and sums are those of `widened`.

    Raises
    ------
    StepError
        A table, column, function or the syntax is unknown.
    """
    text = without_end(statement)
    if not is_narrow(text):
        return _checked(spark, text, frames)

    def type_of(question: str) -> Any:
        try:
            return _planned(spark, question, frames).schema.fields[0].dataType
        except Exception:  # noqa: BLE001 - of any library below
            return None

    wraps = is_sail(spark)
    wide = widened(text, type_of, wraps=wraps)
    if wide == text:
        return _checked(spark, text, frames)
    try:
        found = _planned(spark, wide, frames)
    except Exception as error:
        if not is_failure(error):
            raise
        found = _checked(spark, text, frames)  # which tells best what is wrong
        if wraps:
            msg = "SQL: the type of what is added up or counted cannot be told where it stands; name it in a subquery"
            raise StepError(msg) from error
        return found
    try:
        # what has no name is called after its text
        return found.toDF(*_planned(spark, text, frames).columns)
    except Exception as error:
        if not is_failure(error):
            raise
        return found


def _checked(spark: SparkSession, text: str, frames: Mapping[str, DataFrame]) -> DataFrame:
    try:
        return _planned(spark, text, frames)
    except Exception as error:
        if not is_failure(error):
            raise
        raise StepError(f"SQL: {failure_of(error, frames)}") from error


def _planned(spark: SparkSession, text: str, frames: Mapping[str, DataFrame]) -> DataFrame:
    arguments: dict[str, Any] = {f"laktory_{number}": frame for number, frame in enumerate(frames.values())}
    named = ", ".join(
        f"{_quoted(name)} AS (SELECT * FROM {{{key}}})" for name, key in zip(frames, arguments, strict=True)
    )
    if frames:  # only then are braces read
        text = text.replace("{", "{{").replace("}", "}}")
    found = spark.sql(f"WITH {named} SELECT * FROM (\n{text}\n)" if named else text, **arguments)
    # over Connect, a plan is looked at when its columns are asked for
    for field in found.schema.fields:
        if "interval" in field.dataType.typeName():
            msg = f"SQL: the column {field.name!r} is an interval, which no file holds"
            raise StepError(f"{msg}; write datediff(…), or CAST it to a number")
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
        line, column = place_in(str(error), statement)
        return syntax_words(message_of(error)), line, column
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
