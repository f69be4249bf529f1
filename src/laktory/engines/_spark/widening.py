"""Calls in SQL whose types are so narrow on Spark that they overflow: calculated in wider ones.

A length and a part of a date are Int32, so that ``YEAR(t) * 1000000`` stops Spark, and wraps around on Sail, which
wraps sums of Int64 too. What an argument is only the engine knows, so it is asked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from laktory.engines.widening import COUNTS, CastText, is_count
from laktory.expressions.calls import calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from laktory.expressions.calls import Call

__all__ = ["is_narrow", "widened"]

_NAMES = COUNTS | {
    "SUM",
    "SIZE",
    "CARDINALITY",
    "ARRAY_SIZE",
    "INSTR",
    "LOCATE",
    "DATEDIFF",
    "WEEKOFYEAR",
    "DAYOFMONTH",
}
_MENTIONED = re.compile(rf"\b(?:{'|'.join(sorted(_NAMES))})\b", re.IGNORECASE)


def is_narrow(statement: str) -> bool:
    """Whether `widened` may have something to do."""
    return _MENTIONED.search(statement) is not None


def widened(statement: str, types: Callable[[str], Any], *, wraps: bool) -> str:
    """The statement with lengths, parts of dates and sums in types that hold the result.

    Parameters
    ----------
    types : type of the first column of a query over the frames of the statement, None if it cannot be told
    wraps : the engine does not say when a sum of Int64 does not fit
    """
    text = CastText(statement)
    for call in calls(statement, frozenset(_NAMES)):
        if call.name != "SUM":
            if call.name not in COUNTS or is_count(call, statement):
                text.cast(*call.whole, "BIGINT")
            continue
        dtype = _type(call, text, types)
        kind = "" if dtype is None else dtype.typeName()
        if kind in {"boolean", "void"}:
            text.cast(*call.argument, "BIGINT")
        elif kind == "long" and wraps:
            # what does not fit stops the run, when it is cast back
            text.cast(*call.argument, "DECIMAL(38, 0)")
            text.cast(*call.whole, "BIGINT")
    return text.part(0, len(statement))


def _type(call: Call, text: CastText, types: Callable[[str], Any]) -> Any:
    defined = ", ".join(text.part(*definition.whole) for definition in call.definitions)
    recursive = "RECURSIVE " if any(definition.recursive for definition in call.definitions) else ""
    begun = f"WITH {recursive}{defined} " if defined else ""
    rows = ["" if call.tables is None else text.part(*call.tables)]
    if call.head is not None:
        rows.append(f"FROM ({text.part(*call.head)}) AS laktory_query")
    for tables in rows:
        found = types(f"{begun}SELECT ({text.part(*call.argument)}) AS laktory_type {tables}")
        if found is not None:
            return found
    return None
