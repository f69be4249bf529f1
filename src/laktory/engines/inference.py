"""Column types of text files, found once for all engines so that they agree. Nothing is lost on the way.

- JSON: every row of every file counts. Columns stand in order of first appearance; integers with fractions give
  Float64; text, numbers and booleans in one column give String; objects or lists beside other values are refused.
  (Fractions beside text keep their value, not always their spelling: ``3.0`` may become ``3``.)
  A column that is only null, or only ``{}``, is String. Text never becomes a date.
- CSV: the whole text of a column decides between Int64, Float64, Boolean and String. What would not come back as it
  was (``007``, twenty digits) stays String.

JSON lines are checked with one regular expression built from the types seen so far: a line that matches can hold no
unknown key and no other type. Only lines that do not match are parsed here, and what they add goes into the next
expression. On regular files that costs a third of parsing them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn

from laktory.engines.locate import broken_json_line
from laktory.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import narwhals as nw
    import polars as pl

__all__ = ["JsonType", "infer_csv", "infer_json_lines"]

_SAMPLE = 1_000
_MAX_ROUNDS = 8
_MAX_PATTERN = 50_000

_JSON = {
    "text": r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[[:xdigit:]]{4})*"',
    # nineteen digits up to 8… still fit 64 bits
    "int": "-?(?:0|[1-9][0-9]{0,17}|[1-8][0-9]{18})",
    "bigint": "-?[0-9]+",
    "float": r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?",
    "bool": "true|false",
}
_PLURALS = {"text": "text", "bool": "booleans", "object": "objects", "list": "lists"}
_WS = r"[ \t]*"

_CSV = {
    "int": "^-?(?:0|[1-9][0-9]{0,17})$",
    "float": r"^-?(?:(?:0|[1-9][0-9]{0,14})(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?$|^(?:NaN|-?inf)$",
    "bool": "^(?i:true|false)$",
}


@dataclass(slots=True)
class JsonType:
    """Everything seen at one place of JSON rows: kinds of values, fields of objects, items of lists."""

    kinds: set[str] = field(default_factory=set)
    fields: dict[str, JsonType] = field(default_factory=dict)
    item: JsonType | None = None

    def add(self, value: Any) -> None:
        """Take in one parsed value."""
        if value is None:
            return
        if isinstance(value, dict):
            self.kinds.add("object")
            for name, inner in value.items():
                if (child := self.fields.get(name)) is None:
                    child = self.fields[name] = JsonType()
                child.add(inner)
        elif isinstance(value, list):
            self.kinds.add("list")
            self.item = self.item or JsonType()
            for inner in value:
                self.item.add(inner)
        else:
            self.kinds.add(_kind(value))

    @property
    def exact(self) -> bool:
        """Whether every value fits its type as it is; not so where an empty object becomes text."""
        children = [*self.fields.values(), *([self.item] if self.item else [])]
        return not ("object" in self.kinds and not self.fields) and all(child.exact for child in children)

    def pattern(self) -> str:
        """Regular expression of the JSON texts that add nothing new."""
        choices = ["null", *(_JSON[kind] for kind in _JSON if kind in self.kinds)]
        if "object" in self.kinds:
            members = [
                f"{_literal(json.dumps(name, ensure_ascii=False))}{_WS}:{_WS}{child.pattern()}"
                for name, child in self.fields.items()
            ]
            inner = rf"(?:(?:{'|'.join(members)}){_WS},?{_WS})*" if members else ""
            choices.append(rf"\{{{_WS}{inner}\}}")
        if self.item is not None:
            choices.append(rf"\[{_WS}(?:{self.item.pattern()}{_WS},?{_WS})*\]")
        return f"(?:{'|'.join(choices)})"

    def dtype(self, where: str) -> pl.DataType:
        """The type that holds everything seen here.

        Raises
        ------
        SourceError
            Objects or lists stand beside other values.
        """
        import polars as pl

        scalars = self.kinds - {"object", "list"}
        if len(self.kinds - scalars) + bool(scalars) > 1:
            found = sorted({_PLURALS.get(kind, "numbers") for kind in self.kinds})
            msg = f"column {where!r} holds {' and '.join(found)}; declare it in 'schema', as string to keep it as text"
            raise SourceError(msg)
        if self.fields:
            return pl.Struct({name: child.dtype(f"{where}.{name}") for name, child in self.fields.items()})
        if self.item is not None:
            return pl.List(self.item.dtype(f"{where}[]"))
        if scalars == {"bool"}:
            return pl.Boolean()
        if scalars and scalars <= {"int", "bigint", "float"}:
            return pl.Float64() if "float" in scalars else pl.Int128() if "bigint" in scalars else pl.Int64()
        return pl.String()

    def columns(self) -> pl.Schema:
        """Columns of the rows that were added."""
        import polars as pl

        return pl.Schema({name: child.dtype(name) for name, child in self.fields.items()})


def infer_json_lines(files: Sequence[str]) -> tuple[nw.Schema, bool]:
    """Columns of JSON lines files, and whether every line fits them exactly (no blank line, no ``{}`` kept as text).

    No column if the files hold no row. Compressed files are fine.

    Raises
    ------
    SourceError
        A line is no JSON object (file and line number are named), or types cannot be brought together.
    """
    import narwhals as nw

    rows = JsonType({"object"})
    exact = True
    pattern = ""
    for round_ in range(_MAX_ROUNDS + 1):
        previous, pattern = pattern, rows.pattern()
        # the first lines teach the next round; when nothing is left to learn, all others are parsed
        final = round_ == _MAX_ROUNDS or pattern == previous or len(pattern) > _MAX_PATTERN
        count = 0
        for line in islice(_unmatched(files, pattern, final=final), None if final else _SAMPLE):
            count += 1
            if line.strip():
                rows.add(_row(line, files))
            else:
                exact = False
        if final or count < _SAMPLE:
            break
    return nw.Schema.from_polars(rows.columns()), exact and rows.exact


def infer_csv(text: nw.LazyFrame[Any]) -> nw.Schema:
    """Types of CSV columns that were all read as text, whatever the engine.

    Raises
    ------
    Exception
        What the engine raises while it reads.
    """
    import narwhals as nw

    columns = text.collect_schema().names()
    every = [(column, kind) for column in columns for kind in _CSV]
    # a thousand rows leave one or two candidates per column for the pass over everything
    candidates = _holding(text.head(_SAMPLE), every)
    holding = set(_holding(text, candidates))
    types = {"int": nw.Int64(), "float": nw.Float64(), "bool": nw.Boolean()}
    return nw.Schema(
        {column: next((types[kind] for kind in _CSV if (column, kind) in holding), nw.String()) for column in columns}
    )


def _unmatched(files: Sequence[str], pattern: str, *, final: bool) -> Iterator[str]:
    import polars as pl

    expression = rf"^{_WS}{pattern}[ \t\r]*$"
    lines = pl.scan_lines(list(files), glob=False)
    if len(pattern) <= _MAX_PATTERN:
        lines = lines.filter(~pl.col("line").str.contains(expression))
    # inside the scan a filter runs on one thread only
    flags = pl.QueryOptFlags(predicate_pushdown=False)
    try:
        if not final:
            yield from lines.head(_SAMPLE).collect(optimizations=flags).to_series()
            return
        for batch in lines.collect_batches(chunk_size=10_000, optimizations=flags):
            yield from batch.to_series()
    except pl.exceptions.ComputeError as error:
        _raise_broken(files, error)


def _row(line: str, files: Sequence[str]) -> dict[str, Any]:
    try:
        row = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        _raise_broken(files, error)
    if not isinstance(row, dict):
        _raise_broken(files, None)
    return row


def _raise_broken(files: Sequence[str], error: BaseException | None) -> NoReturn:
    place = broken_json_line(files)
    raise SourceError(place or f"{files[0]!r}: cannot be read as JSON lines") from error


def _no_constant(name: str) -> NoReturn:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -(2**63) <= value < 2**63 else "bigint" if -(2**127) <= value < 2**127 else "float"
    return "float"


def _literal(text: str) -> str:
    import polars as pl

    return pl.escape_regex(text)


def _holding(text: nw.LazyFrame[Any], candidates: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The candidates whose pattern fits every value; columns without a value have none."""
    import narwhals as nw

    if not candidates:
        return []
    checks = [
        check
        for index, (column, kind) in enumerate(candidates)
        for check in (
            nw.col(column).count().alias(f"count_{index}"),
            nw.col(column).str.contains(_CSV[kind]).all().alias(f"holds_{index}"),
        )
    ]
    found = text.select(*checks).collect(backend="polars").to_native().row(0, named=True)
    return [
        candidate for index, candidate in enumerate(candidates) if found[f"count_{index}"] and found[f"holds_{index}"]
    ]
