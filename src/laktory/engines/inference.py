"""Column types of text files, found once for all engines so that they agree. Nothing is lost on the way:

- JSON: every row of every file counts. Columns stand in order of first appearance; integers with fractions give
  Float64; text, numbers and booleans in one column give String; objects or lists beside other values are refused.
  A column that is only null, or only ``{}``, is String. Text never becomes a date.
- CSV: the whole text of a column decides between Int64, Float64, Boolean and String. What would not come back as it
  was (``007``, twenty digits) stays String.

JSON lines are checked with one regular expression built from the types seen so far: a line that matches can hold no
unknown key and no other type. Only lines that do not match are parsed here, and what they add goes into the next
expression. On regular files that costs a third of parsing them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from laktory.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import narwhals as nw
    import polars as pl

__all__ = ["JsonType", "infer_csv", "infer_json_lines", "read_json_documents"]

_SAMPLE = 1_000
_MAX_PATTERN = 50_000
_MAX_INT64 = 2**63
_MAX_INT128 = 2**127

_TEXT = r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[[:xdigit:]]{4})*"'
_INTEGER = r"-?(?:0|[1-9][0-9]{0,17})"
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_PATTERNS = {"text": _TEXT, "int": _INTEGER, "bigint": _NUMBER, "float": _NUMBER, "bool": "true|false"}
_KINDS = {"text": "text", "int": "numbers", "bigint": "numbers", "float": "numbers", "bool": "booleans"}
_KINDS |= {"object": "objects", "list": "lists"}


@dataclass(slots=True)
class JsonType:
    """Everything seen at one place of JSON rows: kinds of values, fields of objects, items of lists."""

    kinds: set[str] = field(default_factory=set)
    fields: dict[str, JsonType] = field(default_factory=dict)
    item: JsonType | None = None
    shapes: set[tuple[Any, ...]] = field(default_factory=set)

    def add(self, value: Any) -> None:
        """Take in one parsed value."""
        if isinstance(value, dict):
            self.kinds.add("object")
            self._add_fields(value)
        elif isinstance(value, list):
            self.kinds.add("list")
            self.item = self.item or JsonType()
            for item in value:
                self.item.add(item)
        elif value is not None:
            self.kinds.add(_scalar_kind(value))

    def _add_fields(self, row: dict[str, Any]) -> None:
        types = tuple(map(type, row.values()))
        shape = (*row, *types)
        if shape in self.shapes:
            return
        for name, value in row.items():
            self.fields.setdefault(name, JsonType()).add(value)
        # the types say all there is to know only about these
        if not {dict, list, int} & set(types):
            self.shapes.add(shape)

    @property
    def plain(self) -> bool:
        """Whether a lenient parser reads it as well as a strict one: no object that is to become text."""
        if "object" in self.kinds and not self.fields:
            return False
        return all(child.plain for child in self.fields.values()) and (self.item is None or self.item.plain)

    def pattern(self) -> str:
        """Regular expression of the JSON texts that hold nothing new."""
        choices = ["null", *dict.fromkeys(_PATTERNS[kind] for kind in sorted(self.kinds & _PATTERNS.keys()))]
        if "object" in self.kinds:
            members = "|".join(
                f"{re.escape(json.dumps(name, ensure_ascii=False))} *: *{child.pattern()}"
                for name, child in self.fields.items()
            )
            choices.append(r"\{ *(?:(?:" + members + r") *,? *)*\}" if members else r"\{ *\}")
        if self.item is not None:
            choices.append(r"\[ *(?:" + self.item.pattern() + r" *,? *)*\]")
        return "(?:" + "|".join(choices) + ")"

    def dtype(self, where: str) -> pl.DataType:
        """The polars type that holds everything seen.

        Raises
        ------
        SourceError
            If objects or lists stand beside other values.
        """
        import polars as pl

        scalars = self.kinds - {"object", "list"}
        if len(self.kinds - scalars) + bool(scalars) > 1:
            found = sorted({_KINDS[kind] for kind in self.kinds})
            msg = f"column {where!r} holds {' and '.join(found)}; declare it in 'schema', as string to keep it as text"
            raise SourceError(msg)
        if "object" in self.kinds:
            if not self.fields:
                return pl.String()
            return pl.Struct({name: child.dtype(f"{where}.{name}") for name, child in self.fields.items()})
        if self.item is not None:
            return pl.List(self.item.dtype(f"{where}[]"))
        if scalars == {"bool"}:
            return pl.Boolean()
        if scalars and scalars <= {"int", "bigint", "float"}:
            return pl.Float64() if "float" in scalars else pl.Int128() if "bigint" in scalars else pl.Int64()
        return pl.String()

    def schema(self) -> pl.Schema:
        """Columns of rows that were added."""
        import polars as pl

        return pl.Schema({name: child.dtype(name) for name, child in self.fields.items()})


def infer_json_lines(files: Sequence[str]) -> tuple[nw.Schema, bool]:
    """Columns of JSON lines files, and whether every line is plainly one object of that type.

    Compressed files are fine; blank lines are not rows. No column at all if the files hold no row.

    Raises
    ------
    SourceError
        A line is no JSON object (with file and line number), or types cannot be brought together.
    """
    import narwhals as nw

    rows = JsonType({"object"})
    plain = True
    while True:
        seen = 0
        for seen, line in enumerate(_unknown_lines(files, rows), 1):
            if line.strip() == "":
                plain = False
            else:
                rows.add(_json_row(line, files))
            # the first lines teach the next, faster round; a round that teaches nothing goes on to the end
            if seen == _SAMPLE and len(rows.pattern()) < _MAX_PATTERN and not _covers(rows, line):
                continue
            if seen == _SAMPLE and _covers(rows, line):
                break
        if seen < _SAMPLE or not _covers(rows, line):
            return nw.Schema.from_polars(rows.schema()), plain and rows.plain
