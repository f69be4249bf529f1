"""Columns of several files brought together, and columns of a file held against a declared schema."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from laktory.diagnostics import closest
from laktory.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import polars as pl
    from polars.datatypes import DataTypeClass

    from laktory.engines.protocol import FileRead
    from laktory.errors import RunError

__all__ = [
    "cast_whole",
    "check_declared",
    "declared_schema",
    "fit",
    "from_text",
    "rounds",
    "unite_schemas",
    "whole_limit",
]

_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_DAY_LENGTH = 10
_OFFSET = "(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)"


def unite_schemas(files: Sequence[str], schemas: Sequence[Mapping[str, pl.DataType]]) -> pl.Schema:
    """Columns of typed files together: union by name, in order of first appearance; numbers widen.

    Raises
    ------
    SourceError
        A column has types that do not go together.
    """
    import polars as pl

    united: dict[str, pl.DataType] = {}
    origin: dict[str, str] = {}
    for file, schema in zip(files, schemas, strict=True):
        for name, dtype in schema.items():
            known = united.setdefault(name, dtype)
            first = origin.setdefault(name, file)
            if dtype in {known, pl.Null()}:
                continue
            if known == pl.Null:
                united[name] = dtype
            elif _widen(known, dtype):
                empty = [pl.DataFrame(schema={name: each}) for each in (known, dtype)]
                united[name] = pl.concat(empty, how="vertical_relaxed").schema[name]
            else:
                msg = f"column {name!r} is {known} in {first!r} but {dtype} in {file!r}"
                raise SourceError(msg)
    return pl.Schema(united)


def declared_schema(read: FileRead) -> pl.Schema | None:
    """Columns and types that a read declares; String where nothing but NULLs told the type."""
    import polars as pl

    if read.schema is None:
        return None
    return pl.Schema({name: _known(dtype) for name, dtype in read.schema.to_polars().items()})


def _known(dtype: pl.DataType | DataTypeClass) -> pl.DataType | DataTypeClass:
    import polars as pl

    if isinstance(dtype, pl.Struct):
        return pl.Struct({field.name: _known(field.dtype) for field in dtype.fields})
    if isinstance(dtype, pl.List):
        return pl.List(_known(dtype.inner))
    return pl.String() if dtype in {pl.Unknown, pl.Null} else dtype


def check_declared(found: Mapping[str, pl.DataType], declared: Mapping[str, pl.DataType], where: str) -> None:
    """Whether typed columns can be taken as the declared ones: all are there, and no cast loses values silently.

    Raises
    ------
    SourceError
        A column is missing or of another kind.
    """
    for name, dtype in declared.items():
        if name not in found:
            hint = closest(name, found) or f"found: {', '.join(found)}"
            msg = f"{where!r} has no column {name!r}, which 'schema' declares; {hint}"
            raise SourceError(msg)
        if not _castable(found[name], dtype):
            msg = f"{where!r}: column {name!r} is {found[name]}, but 'schema' declares {dtype}"
            raise SourceError(msg)


def fit(frame: pl.LazyFrame, schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """Exactly these columns in this order: missing ones are null, others cast where the type differs.

    A number that the other type would only hold a neighbour of is an error of whoever computes the frame.
    """
    import polars as pl

    found = frame.collect_schema()
    if list(found.items()) == list(schema.items()):
        return frame
    columns = [
        (pl.col(name) if found[name] == dtype else _cast(pl.col(name), found[name], dtype).alias(name))
        if name in found
        else pl.lit(None, dtype).alias(name)
        for name, dtype in schema.items()
    ]
    return frame.select(columns)


def cast_whole(
    frame: pl.LazyFrame, types: Mapping[str, pl.DataType], refuse: Callable[[str, str], RunError]
) -> pl.LazyFrame:
    """The frame with these types. Computing a time that loses nanoseconds by it is an error.

    Parameters
    ----------
    refuse : makes the error, of what is lost and its column
    """
    import polars as pl

    casts = []
    for name, found in frame.collect_schema().items():
        wanted, column = types[name], pl.col(name)
        if found != wanted and _nanoseconds(found):
            cut = partial(_cut, wanted, refuse)
            casts.append(column.map_batches(cut, return_dtype=wanted, is_elementwise=True))
        elif found != wanted:
            casts.append(column.cast(wanted))
    return frame.with_columns(casts) if casts else frame


def _nanoseconds(dtype: Any) -> bool:
    import polars as pl

    if isinstance(dtype, pl.Struct):
        return any(_nanoseconds(field.dtype) for field in dtype.fields)
    if isinstance(dtype, (pl.List, pl.Array)):
        return _nanoseconds(dtype.inner)
    return isinstance(dtype, pl.Datetime) and dtype.time_unit == "ns"


def _cut(wanted: pl.DataType, refuse: Callable[[str, str], RunError], values: pl.Series) -> pl.Series:
    import polars as pl

    made = values.cast(wanted)
    lost = made.cast(values.dtype).ne_missing(values)
    if lost.any():
        first = values.filter(lost)[:1]
        raise refuse("a value" if first.dtype.is_nested() else f"'{first.cast(pl.String).item()}'", values.name)
    return made


def _widen(one: pl.DataType, other: pl.DataType) -> bool:
    """Whether there is a type for the numbers of both; a fraction is near a decimal, not equal to it."""
    numbers = one.is_numeric() and other.is_numeric()
    return numbers and not (one.is_decimal() and other.is_float()) and not (one.is_float() and other.is_decimal())


def whole_limit(found: pl.DataType | DataTypeClass, dtype: pl.DataType | DataTypeClass) -> int | None:
    """The integer up to which a type of fractions holds all; None if it holds all of the other type."""
    import polars as pl

    if dtype not in {pl.Float32, pl.Float64} or not found.is_integer():
        return None
    within = {pl.Int8, pl.UInt8, pl.Int16, pl.UInt16}
    if dtype == pl.Float32:
        return None if found in within else 2**24
    return None if found in {*within, pl.Int32, pl.UInt32} else 2**53


def rounds(found: Any, dtype: Any) -> bool:
    """Whether a type, or one inside it, has numbers that the other only holds a neighbour of."""
    import polars as pl

    if isinstance(found, pl.Struct) and isinstance(dtype, pl.Struct):
        inner = {field.name: field.dtype for field in found.fields}
        return any(field.name in inner and rounds(inner[field.name], field.dtype) for field in dtype.fields)
    if isinstance(found, (pl.List, pl.Array)) and isinstance(dtype, (pl.List, pl.Array)):
        return rounds(found.inner, dtype.inner)
    return whole_limit(found, dtype) is not None or (found == pl.Float64 and dtype == pl.Float32)


def _cast(column: pl.Expr, found: pl.DataType | DataTypeClass, dtype: pl.DataType | DataTypeClass) -> pl.Expr:
    import polars as pl

    made = column.cast(dtype)
    if not rounds(found, dtype):
        return made
    if isinstance(found, pl.Struct) and isinstance(dtype, pl.Struct):
        inner = {field.name: field.dtype for field in found.fields}
        fields = [_cast(column.struct.field(name), inner[name], kind).alias(name) for name, kind in dtype]
        return pl.when(column.is_not_null()).then(pl.struct(fields))
    if isinstance(found, (pl.List, pl.Array)) and isinstance(dtype, (pl.List, pl.Array)):
        items = column.arr.to_list() if isinstance(found, pl.Array) else column
        return items.list.eval(_cast(pl.element(), found.inner, dtype.inner)).cast(dtype)
    if (limit := whole_limit(found, dtype)) is not None:
        fits = column.is_between(-limit, limit) if found.is_signed_integer() else column <= limit
    else:
        fits = made.is_finite() | ~column.is_finite()
    fault = pl.when(~fits).then(column).cast(pl.String) + "\N{NO-BREAK SPACE}"
    return pl.coalesce(fault.cast(dtype), made)


def from_text(text: pl.Expr, dtype: pl.DataType | DataTypeClass) -> pl.Expr:
    """Values read as text, or as a wider type, made the declared type.

    What loses digits, or is a day in another form than ``2024-01-31`` (which one would be guessed), stays text that is
    none of the type, so that it is an error.
    """
    import polars as pl

    if isinstance(dtype, pl.Decimal):
        whole = r"[0-9]+(?:[eE]\+?[0-9]+)?"
        fits = text.str.contains(rf"^[+-]?(?:{whole}|[0-9]*\.?[0-9]{{0,{dtype.scale or 0}}}0*)$")
        return pl.when(fits).then(text).otherwise(text + "\N{NO-BREAK SPACE}").cast(dtype)
    if _is_time(dtype):
        read = partial(_as_time, dtype=dtype)
        found = read(text, strict=False)
        return pl.coalesce(found, read(pl.when(found.is_null()).then(text + "\N{NO-BREAK SPACE}"), strict=True))
    if isinstance(dtype, pl.Struct) and _is_text(dtype):
        fields = [from_text(text.struct.field(field.name), field.dtype).alias(field.name) for field in dtype.fields]
        return pl.when(text.is_not_null()).then(pl.struct(fields))
    if isinstance(dtype, (pl.List, pl.Array)) and _is_text(dtype):
        return text.list.eval(from_text(pl.element(), dtype.inner)).cast(dtype)
    return text.cast(dtype)


def _as_time(text: pl.Expr, dtype: pl.DataType | DataTypeClass, *, strict: bool) -> pl.Expr:
    """Days, times and both in ISO form; what has no offset is UTC."""
    import polars as pl

    if dtype == pl.Date:
        return pl.when(text.str.contains(f"^{_DAY}$") | strict).then(text).str.to_date("%Y-%m-%d", strict=strict)
    if dtype == pl.Time:
        whole = text.str.replace(r"^([0-9]{2}:[0-9]{2})$", "${1}:00")
        return whole.str.to_time("%H:%M:%S%.f", strict=strict)
    assert isinstance(dtype, pl.Datetime)
    fits = text.str.contains(rf"^{_DAY}(?:[T ][0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}}(?:\.[0-9]+)?)?(?:{_OFFSET})?)?$")
    whole = pl.when(text.str.len_bytes() == _DAY_LENGTH).then(text + "T00:00").otherwise(text.str.replace(" ", "T"))
    whole = whole.str.replace(r"^(.{13}:[0-9]{2})([Z+-]|$)", "${1}:00${2}")
    whole = pl.when(whole.str.contains(rf":[0-9.]+{_OFFSET}$")).then(whole).otherwise(whole + "Z")
    found = (
        pl.when(fits | strict)
        .then(text if strict else whole)
        .str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit=dtype.time_unit, time_zone="UTC", strict=strict)
    )
    return found.dt.convert_time_zone(dtype.time_zone) if dtype.time_zone else found.dt.replace_time_zone(None)


def _is_time(dtype: pl.DataType | DataTypeClass) -> bool:
    import polars as pl

    return isinstance(dtype, pl.Datetime) or dtype in {pl.Date, pl.Time}


def _is_text(dtype: pl.DataType | DataTypeClass) -> bool:
    """Whether a type is read as text, or holds one that is."""
    import polars as pl

    if isinstance(dtype, pl.Struct):
        return any(_is_text(field.dtype) for field in dtype.fields)
    return _is_text(dtype.inner) if isinstance(dtype, (pl.List, pl.Array)) else dtype.is_decimal() or _is_time(dtype)


def _castable(found: pl.DataType | DataTypeClass, declared: pl.DataType | DataTypeClass) -> bool:
    import polars as pl

    if found in {declared, pl.Null()}:
        return True
    if isinstance(found, pl.Decimal) and isinstance(declared, pl.Decimal):
        # engines differ in how they round
        return found.scale <= declared.scale
    if found.is_numeric() and declared.is_numeric():
        # a cast to an integer would cut the fraction without a word, one to a decimal round it
        return found.is_integer() or declared.is_float()
    if isinstance(found, (pl.List, pl.Array)) and isinstance(declared, (pl.List, pl.Array)):
        return _castable(found.inner, declared.inner)
    if isinstance(found, pl.Struct) and isinstance(declared, pl.Struct):
        inner = {field.name: field.dtype for field in found.fields}
        return len(inner) == len(declared.fields) and all(
            field.name in inner and _castable(inner[field.name], field.dtype) for field in declared.fields
        )
    if isinstance(found, pl.Datetime) and isinstance(declared, pl.Datetime):
        return (found.time_zone is None) == (declared.time_zone is None)
    text = (pl.String, pl.Categorical, pl.Enum)
    return (isinstance(found, text) and isinstance(declared, text)) or (found == pl.Date and declared == pl.Datetime)
