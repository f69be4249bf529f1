"""Column types of text files, found once for all engines so that they agree. Nothing is lost on the way.

- JSON: every row of every file counts. Columns stand in order of first appearance; integers with fractions give
  Float64, where one beyond 2^53 is refused; integers beyond 64 bits give Decimal(38, 0); text, numbers and booleans
  in one column give String; objects or lists beside other values are refused.
  (Fractions beside text keep their value, not always their spelling: ``3.0`` may become ``3``.)
  A column that is only null, or only ``{}``, is String. Text never becomes a date.
  A declared type takes only what JSON writes for it: ``"12"`` is no integer.
- CSV: the whole text of a column decides between Int64, Float64, Boolean and String. What would not come back as it
  was (``007``, twenty digits) stays String.

JSON lines are checked with one regular expression built from the types seen so far: a line that matches can hold no
unknown key, no key twice and no other type. Only lines that do not match are parsed here, and what they add goes into
the next expression. On regular files that costs a third of parsing them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn

from laktory.engines.batches import batches
from laktory.engines.json_text import parse
from laktory.engines.locate import broken_json_line, first_json_line
from laktory.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    import narwhals as nw
    import polars as pl
    from polars.datatypes import DataTypeClass

__all__ = ["JsonType", "RoundedError", "check_json_lines", "infer_csv", "infer_json_lines"]

_FIRST = 20  # lines of a regular file are all alike: few of them teach the next round
_SAMPLE = 1_000
_MAX_ROUNDS = 8
_MAX_PATTERN = 12_000  # beyond, the regular expression is slower than parsing, by far
_MAX_ORDERS = 8
_LONG = 2**23
_MAX_MISFIT = 200_000

_ESCAPE = (
    r'\\["\\/bfnrt]|\\u(?:[0-9abcefABCEF][[:xdigit:]]{3}|[dD][0-7][[:xdigit:]]{2}'
    r"|[dD][89abAB][[:xdigit:]]{2}\\u[dD][c-fC-F][[:xdigit:]]{2})"
)
_JSON = {
    "text": rf'"(?:[^"\\\x00-\x1f]|{_ESCAPE})*"',
    # up to 8999999999999999, which a fraction's type holds exactly
    "int": "-?(?:0|[1-9][0-9]{0,14}|[1-8][0-9]{15})",
    # nineteen digits up to 8… still fit 64 bits
    "long": "-?(?:[1-9][0-9]{0,17}|[1-8][0-9]{18})",
    "bigint": "-?(?:0|[1-9][0-9]{0,37})",
    "float": r"-?(?:0|[1-9][0-9]{0,14}|[1-8][0-9]{15})(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?",
    "bool": "true|false",
}
_NUMBERS = frozenset({"int", "long", "bigint", "float"})
_WIDE = frozenset({"long", "bigint"})
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
    orders: list[list[str]] = field(default_factory=list)
    wide: int | None = None

    @classmethod
    def of(cls, value: Any) -> JsonType:
        """What one parsed value adds."""
        made = cls()
        made.add(value)
        return made

    def add(self, value: Any) -> None:
        """Take in one parsed value."""
        if value is None:
            return
        if isinstance(value, dict):
            self.kinds.add("object")
            self._add_order(list(value))
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
            self.kinds.add(kind := _kind(value))
            if kind in _WIDE:
                self.wide = value

    def _add_order(self, names: list[str]) -> None:
        """Bring the order of an object's keys together with one already known, else remember it as another one.

        Objects whose keys come in too many orders are parsed here, one by one.
        """
        if len(self.orders) == _MAX_ORDERS:
            return
        for order in self.orders:
            places = {name: place for place, name in enumerate(order)}
            known = [places[name] for name in names if name in places]
            if known == sorted(known):
                place = 0
                for name in names:
                    if name in places:
                        place = order.index(name, place)
                    else:
                        order.insert(place, name)
                    place += 1
                return
        self.orders.append(names)

    @property
    def exact(self) -> bool:
        """Whether every value fits its type as it is; not so where an empty object becomes text."""
        children = [*self.fields.values(), *([self.item] if self.item else [])]
        return not ("object" in self.kinds and not self.fields) and all(child.exact for child in children)

    def pattern(self) -> str:
        """Regular expression of the JSON texts that add nothing new."""
        choices = ["null", *(_JSON[kind] for kind in _JSON if kind in self.kinds)]
        if "object" in self.kinds:
            choices.append(self.object_pattern())
        if self.item is not None:
            choices.append(rf"\[{_WS}(?:,?{_WS}{self.item.pattern()}{_WS})*\]")
        return f"(?:{'|'.join(choices)})"

    def object_pattern(self) -> str:
        """`pattern` of an object: known keys in a known order, so that none is there twice."""
        members = {
            name: rf"(?:,?{_WS}{_literal(json.dumps(name, ensure_ascii=False))}{_WS}:{_WS}{child.pattern()}{_WS})?"
            for name, child in self.fields.items()
        }
        orders = ["".join(members[name] for name in order) for order in self.orders]
        return rf"\{{{_WS}(?:{'|'.join(orders)})\}}"

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
        if scalars and scalars <= _NUMBERS:
            if "float" in scalars and self.wide is not None:
                raise RoundedError(where, self.wide)
            return pl.Float64() if "float" in scalars else pl.Decimal(38, 0) if "bigint" in scalars else pl.Int64()
        return pl.String()

    def columns(self) -> pl.Schema:
        """Columns of the rows that were added.

        Raises
        ------
        SourceError
            Types cannot be brought together.
        """
        import polars as pl

        return pl.Schema({name: child.dtype(name) for name, child in self.fields.items()})

    def fault(self, declared: pl.DataType | DataTypeClass, where: str) -> str | None:
        """What stands at a place that JSON does not write for a declared type, or None."""
        import polars as pl

        if isinstance(declared, (pl.String, pl.Categorical, pl.Enum)):
            return None
        if unfit := self.kinds - _written_as(declared):
            numbers = {"float": "fractions", **dict.fromkeys(_NUMBERS - {"float"}, "integers")}
            found = " and ".join(sorted({(_PLURALS | numbers)[kind] for kind in unfit}))
            return f"column {where!r} holds {found}, but 'schema' declares {declared}"
        if isinstance(declared, pl.Struct):
            pairs = [(self.fields.get(f.name), f.dtype, f"{where}.{f.name}".lstrip(".")) for f in declared.fields]
        elif isinstance(declared, (pl.List, pl.Array)):
            pairs = [(self.item, declared.inner, f"{where}[]")]
        else:
            return None
        faults = (child.fault(dtype, place) for child, dtype, place in pairs if child is not None)
        return next((fault for fault in faults if fault), None)


class RoundedError(SourceError):
    """Integers and fractions of one column, of which no type keeps both.

    Attributes
    ----------
    value : the integer that would be rounded
    """

    def __init__(self, where: str, value: int) -> None:
        super().__init__(
            f"column {where!r} holds the integer {value} beside fractions, which would round it; "
            "declare it in 'schema', as decimal or string to keep all digits"
        )
        self.value = value


def infer_json_lines(files: Sequence[str]) -> tuple[nw.Schema, bool, int]:
    """Columns of JSON lines files, whether every line fits them exactly (no blank line, no ``{}`` kept as text), and
    the bytes of the longest line, 0 where none is longer than 8 MB.

    No column if the files hold no row. Compressed files are fine.

    Raises
    ------
    SourceError
        A line is no JSON object (file and line number are named), or types cannot be brought together.
    """
    import narwhals as nw

    rows, exact, longest = _survey(files)
    try:
        return nw.Schema.from_polars(rows.columns()), exact and rows.exact, longest
    except RoundedError as error:
        said, wide = str(error), str(error.value)
        raise SourceError(first_json_line(files, lambda line: said if wide in line else None) or said) from error
    except SourceError as error:
        raise SourceError(_first_misfit(files) or str(error)) from error


def _first_misfit(files: Sequence[str]) -> str | None:
    """The line from which on the types cannot be brought together, if it is one of the first ones."""
    seen = JsonType()
    left = _MAX_MISFIT

    def fault(line: str) -> str | None:
        nonlocal left
        if left := max(0, left - 1):
            seen.add(parse(line))
            try:
                seen.columns()
            except SourceError as error:
                return str(error)
        return None

    return first_json_line(files, fault)


def check_json_lines(files: Sequence[str], declared: Mapping[str, pl.DataType] | None = None) -> int:
    """Whether every line is a JSON object that a reader takes whole, with the declared types.

    Gives the bytes of the longest line, 0 where none is longer than 8 MB.

    Raises
    ------
    SourceError
        Names the file and the line.
    """
    import polars as pl

    rows, _, longest = _survey(files)
    schema = pl.Struct(dict(declared or {}))
    if fault := rows.fault(schema, ""):
        raise SourceError(first_json_line(files, lambda line: JsonType.of(parse(line)).fault(schema, "")) or fault)
    return longest


def _survey(files: Sequence[str]) -> tuple[JsonType, bool, int]:
    """What the lines hold, whether none of them is blank, and the bytes of the longest, if it is long."""
    rows = JsonType({"object"})
    exact, longest = True, 0
    pattern = ""
    for round_ in range(_MAX_ROUNDS + 1):
        previous, pattern = pattern, rows.object_pattern()
        # the first lines teach the next round; when nothing is left to learn, all others are parsed
        final = round_ == _MAX_ROUNDS or pattern == previous or len(pattern) > _MAX_PATTERN
        limit = None if final else _SAMPLE if round_ else _FIRST
        count = 0
        for line in islice(_unmatched(files, pattern, limit), limit):
            count += 1
            if len(line) > _LONG // 4 and (size := len(line.encode())) > max(_LONG, longest):
                longest = size
            if line.strip():
                rows.add(_row(line, files))
            else:
                exact = False
        if limit is None or count < limit:
            break
    return rows, exact, longest


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


def _unmatched(files: Sequence[str], pattern: str, limit: int | None) -> Iterator[str]:
    import polars as pl

    expression = rf"^{_WS}{pattern}[ \t\r]*$"
    lines = pl.scan_lines(list(files), glob=False)
    if len(pattern) <= _MAX_PATTERN:
        known = pl.col("line").str.contains(expression) & (pl.col("line").str.len_bytes() <= _LONG)
        lines = lines.filter(~known)
    # inside the scan a filter runs on one thread only
    flags = pl.QueryOptFlags(predicate_pushdown=False)
    try:
        if limit is not None:
            yield from lines.head(limit).collect(optimizations=flags).to_series()
            return
        for batch in batches(lines, 10_000, optimizations=flags):
            yield from batch.to_series()
    except pl.exceptions.ComputeError as error:
        _raise_broken(files, error)


def _row(line: str, files: Sequence[str]) -> dict[str, Any]:
    try:
        row = parse(line)
    except (ValueError, RecursionError) as error:
        _raise_broken(files, error)
    if not isinstance(row, dict):
        _raise_broken(files, None)
    return row


def _raise_broken(files: Sequence[str], error: BaseException | None) -> NoReturn:
    place = broken_json_line(files)
    raise SourceError(place or f"{files[0]!r}: cannot be read as JSON lines") from error


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if abs(value) <= 2**53 else "long" if -(2**63) <= value < 2**63 else "bigint"
    return "float"


def _written_as(dtype: pl.DataType | DataTypeClass) -> AbstractSet[str]:
    """Kinds of JSON values that a type is read from."""
    import polars as pl

    if isinstance(dtype, pl.Struct):
        return {"object"}
    if isinstance(dtype, (pl.List, pl.Array)):
        return {"list"}
    if dtype == pl.Boolean:
        return {"bool"}
    if dtype.is_integer():
        return _NUMBERS - {"float"}
    if dtype.is_float():
        return _NUMBERS
    return _NUMBERS | {"text"} if dtype.is_decimal() else {"text"} if dtype.is_temporal() else set()


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
