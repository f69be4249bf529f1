"""Calls in SQL whose types are so narrow on Polars that they overflow, or lose digits: calculated in wider ones.

Polars adds Int32 up in Int32, and wraps around. What an argument is only Polars knows, so it is asked: for the type
of the argument over the FROM clause of its query, with frames that have no rows.

A length is UInt32 and a month Int8, so that ``LENGTH(s) - 10`` and ``MONTH(t) * 100`` wrap around.
"""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from laktory.engines.widening import COUNTS, CastText, is_count
from laktory.errors import StepError
from laktory.expressions.calls import calls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from laktory.expressions.calls import Call, Definition

__all__ = ["is_narrow", "widened"]

_LONG = 60


class _Wider(NamedTuple):
    """SQL types: of the argument, and of the result where it is not what comes out."""

    argument: str
    result: str | None = None


_OF_FRACTIONS: Mapping[Any, _Wider] = {pl.Float32: _Wider("DOUBLE")}
_OF_SUMS = {
    **_OF_FRACTIONS,
    **dict.fromkeys((pl.Null, pl.Boolean, pl.Int32, pl.UInt32), _Wider("BIGINT")),
    # what does not fit stops the run, when it is cast back
    **dict.fromkeys((pl.Int64, pl.UInt64), _Wider("HUGEINT", "BIGINT")),
}
_WIDER: Mapping[str, Mapping[Any, _Wider]] = {
    "SUM": _OF_SUMS,
    **dict.fromkeys(("AVG", "STDDEV", "STDDEV_SAMP", "VARIANCE", "VAR_SAMP"), _OF_FRACTIONS),
}
_NAMES = frozenset(_WIDER) | COUNTS
_MENTIONED = re.compile(rf"\b(?:{'|'.join(sorted(_NAMES))})\b", re.IGNORECASE)


def is_narrow(statement: str) -> bool:
    """Whether `widened` may have something to do."""
    return _MENTIONED.search(statement) is not None


def widened(statement: str, frames: Mapping[str, pl.LazyFrame]) -> str:
    """The statement with lengths and parts of dates, and what its aggregates take, cast to types that hold the result.

    Parameters
    ----------
    frames : by the names the statement has for them; only their types are asked for, if at all

    Raises
    ------
    StepError
        Polars takes the statement, but the type of an argument cannot be told.
    """
    text = CastText(statement)
    types = _Types(text, frames)
    for call in calls(statement, _NAMES):
        if call.name in COUNTS:
            if is_count(call, statement):
                text.cast(*call.whole, "BIGINT")
            continue
        dtype = types.of(call)
        if dtype is None:
            if types.columns(statement) is None:
                return statement  # Polars says best why
            found = statement[slice(*call.argument)]
            shown = found if len(found) <= _LONG else found[: _LONG - 1] + "…"
            msg = f"SQL: the type of '{shown}' in {call.name}(…) cannot be told where it stands"
            raise StepError(f"{msg}; write {call.name}(CAST({shown} AS BIGINT)), or AS DOUBLE")
        wider = _WIDER[call.name].get(dtype.base_type())
        if wider is not None:
            text.cast(*call.argument, wider.argument)
            if wider.result is not None:
                text.cast(*call.whole, wider.result)
    return text.part(0, len(statement))


class _Types:
    """Types in a statement, as Polars tells them.

    What WITH defines becomes an empty frame once it is known: otherwise each question would plan it anew.
    """

    def __init__(self, text: CastText, frames: Mapping[str, pl.LazyFrame]) -> None:
        self.text, self.full = text, frames
        self.defined: dict[tuple[Definition, ...], Mapping[str, pl.LazyFrame]] = {}

    def of(self, call: Call) -> pl.DataType | None:
        """Type of the argument of a call, None if it cannot be told."""
        rows = ["" if call.tables is None else self.text.part(*call.tables)]
        if call.head is not None:
            rows.append(f"FROM ({self.text.part(*call.head)}) AS laktory_query")
        questions = [f"SELECT ({self.text.part(*call.argument)}) AS laktory_type {tables}" for tables in rows]
        if call.cast is not None:
            questions.append(f"SELECT CAST(NULL AS {self.text.part(*call.cast)}) AS laktory_type")
        for question in questions:
            schema = self.columns(question, call.definitions)
            if schema is not None:
                return schema.get("laktory_type")
        return None

    @cached_property
    def empty(self) -> Mapping[str, pl.LazyFrame]:
        """The frames without their rows."""
        return {name: _empty(tuple(frame.collect_schema().items())) for name, frame in self.full.items()}

    def columns(self, query: str, definitions: tuple[Definition, ...] = ()) -> pl.Schema | None:
        """Of a query that may use definitions of WITH; None if Polars does not take it."""
        frames = self.empty
        for count, (name, whole, recursive) in enumerate(definitions, start=1):
            key = definitions[:count]
            if key not in self.defined:
                quoted = '"' + name.replace('"', '""') + '"'
                begun = "WITH RECURSIVE" if recursive else "WITH"
                text = f"{begun} {self.text.part(*whole)} SELECT * FROM {quoted}"  # noqa: S608 - the user's own query
                schema = _schema(text, frames)
                if schema is None:
                    return None
                self.defined[key] = {**frames, name: pl.LazyFrame(schema=schema)}
            frames = self.defined[key]
        return _schema(query, frames)


@lru_cache(maxsize=64)
def _empty(columns: tuple[tuple[str, pl.DataType], ...]) -> pl.LazyFrame:
    return pl.LazyFrame(schema=dict(columns))


def _schema(query: str, frames: Mapping[str, pl.LazyFrame]) -> pl.Schema | None:
    try:
        return pl.SQLContext(frames).execute(query, eager=False).collect_schema()
    except pl.exceptions.PolarsError:
        return None
