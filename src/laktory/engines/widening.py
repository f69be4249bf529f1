"""Calls in SQL that count or tell a part of a date, and statements in which expressions are cast."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from laktory.expressions.calls import Call

__all__ = ["COUNTS", "CastText", "is_count"]

_PARTS = frozenset(
    {
        "YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "QUARTER", "WEEK", "ISOWEEK", "DOW", "DAYOFWEEK", "ISODOW",
        "DOY", "DAYOFYEAR", "ISOYEAR", "DECADE", "CENTURY", "MILLENNIUM",
    }
)  # fmt: skip
_LENGTHS = frozenset(
    {
        "LENGTH", "CHAR_LENGTH", "CHARACTER_LENGTH", "BIT_LENGTH", "OCTET_LENGTH", "STRPOS", "POSITION", "ARRAY_LENGTH",
    }
)  # fmt: skip
_OF_PARTS = frozenset({"EXTRACT", "DATE_PART"})
_PART = re.compile(r"'?(\w+?)s?\b", re.IGNORECASE)
COUNTS = _LENGTHS | _PARTS | _OF_PARTS
"""Functions whose results are whole numbers, however narrow on an engine; some of EXTRACT are not."""


def is_count(call: Call, statement: str) -> bool:
    """Whether a call of one of `COUNTS` gives a whole number."""
    part = _PART.match(statement, call.argument.start)
    return call.name not in _OF_PARTS or (part is not None and part[1].upper() in _PARTS)


class CastText:
    """A text in which expressions are cast, those inside of others first."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.begun: dict[int, str] = {}
        self.ended: dict[int, str] = {}

    def cast(self, start: int, end: int, dtype: str) -> None:
        """Cast what stands between two places."""
        self.begun[start] = "CAST(" + self.begun.get(start, "")
        self.ended[end] = self.ended.get(end, "") + f" AS {dtype})"

    def part(self, start: int, end: int) -> str:
        """The text between two places, with its casts."""
        parts, position = [], start
        for place in sorted({start, end, *self.begun, *self.ended}):
            if start <= place <= end:
                parts.append(self.text[position:place])
                parts.append(self.ended.get(place, "") if place > start else "")
                parts.append(self.begun.get(place, "") if place < end else "")
                position = place
        return "".join(parts)
