"""Columns as files and intermediate results hold them: the same texts and types as from the Polars engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import narwhals as nw

from laktory.engines._duckdb.failures import SINK_MARK
from laktory.engines._duckdb.types import duckdb_type, identifier, literal, stored_type

if TYPE_CHECKING:
    import duckdb

__all__ = ["UNSTORABLE", "as_csv", "as_json", "columns_of", "exactly", "stored", "stored_columns", "stored_schema"]

UNSTORABLE = frozenset({"interval", "time with time zone", "union", "bignum", "varint", "variant", "geometry"})
"""Ids of types that no file format gives back as they were."""

_columns: WeakKeyDictionary[duckdb.DuckDBPyRelation, list[tuple[str, Any]]] = WeakKeyDictionary()
_schemas: WeakKeyDictionary[duckdb.DuckDBPyRelation, nw.Schema] = WeakKeyDictionary()

_ZONED = frozenset({"timestamp with time zone", "timestamptz_ns"})
_FRACTIONS = {
    "timestamp_s": "",
    "timestamp_ms": ".%g",
    "timestamp": ".%f",
    "timestamp with time zone": ".%f",
    "timestamp_ns": ".%n",
    "timestamptz_ns": ".%n",
}


def columns_of(relation: duckdb.DuckDBPyRelation) -> list[tuple[str, Any]]:
    """Columns and their types; asked again, DuckDB would bind a relation anew whenever the catalog has changed."""
    if relation not in _columns:
        _columns[relation] = list(zip(relation.columns, relation.types, strict=True))
    return _columns[relation]


def stored(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """The relation with the types it has in files; itself if they are the same."""
    if all(str(dtype) == stored_type(dtype) for _, dtype in columns_of(relation)):
        return relation
    return relation.project(stored_columns(relation))


def stored_columns(relation: duckdb.DuckDBPyRelation) -> str:
    """Columns of `stored` as SQL text."""
    return ", ".join(_cast(identifier(name), dtype, stored_type(dtype), name) for name, dtype in columns_of(relation))


def stored_schema(relation: duckdb.DuckDBPyRelation) -> nw.Schema:
    """Columns and types of `stored`."""
    if relation not in _schemas:
        types = nw.from_native(stored(relation)).collect_schema()
        _schemas[relation] = nw.Schema({name: _known(kind, types[name]) for name, kind in columns_of(relation)})
    return _schemas[relation]


def _known(dtype: Any, found: Any) -> Any:
    """What Narwhals found, with the types it does not know."""
    if dtype.id == "time_ns":
        return nw.Time()
    if dtype.id == "timestamptz_ns":
        return nw.Datetime("ns", "UTC")
    if isinstance(found, nw.List):
        return nw.List(_known(dtype.children[0][1], found.inner))
    if isinstance(found, nw.Struct):
        fields = zip(dtype.children, found.fields, strict=True)
        return nw.Struct({name: _known(inner, field.dtype) for (name, inner), field in fields})
    return found


def exactly(relation: duckdb.DuckDBPyRelation, types: nw.Schema, path: str) -> str:
    """Columns of `stored` cast to other types as SQL text; a value that would lose nanoseconds is an error.

    Parameters
    ----------
    path : what is written, for the error
    """
    columns = []
    for name, dtype in columns_of(relation):
        value, kind = identifier(name), duckdb_type(types[name])
        made = f"CAST({value} AS {kind})"
        if "_NS" in str(dtype):
            shown = f"concat(chr(39), {value}, chr(39))" if dtype.id in _FRACTIONS else literal("a value")
            start = literal(f"{SINK_MARK}{path!r}: DELTA cannot hold ")
            end = literal(f" of column {name!r}: its times have microseconds; cast it to Datetime('us'), or to text")
            lost = f"CAST({made} AS {dtype}) IS DISTINCT FROM {value}"
            made = f"CASE WHEN {lost} THEN error(concat({start}, {shown}, {end})) ELSE {made} END"
        columns.append(f"{made} AS {value}")
    return ", ".join(columns)


def as_csv(value: str, dtype: Any) -> str:
    """A column as text of CSV: timestamps in ISO form with all digits, NaN."""
    kind = dtype.id
    if kind in {"float", "double"}:
        return f"CASE WHEN isnan({value}) THEN 'NaN' ELSE CAST({value} AS VARCHAR) END"
    if kind in _FRACTIONS:
        local = f"({value} AT TIME ZONE 'UTC')" if kind in _ZONED else value
        text = f"strftime({local}, '%Y-%m-%dT%H:%M:%S{_FRACTIONS[kind]}')"
        return f"{text} || '+0000'" if kind in _ZONED else text
    if kind in {"time", "time_ns"}:
        text = f"CAST({value} AS VARCHAR)"
        return f"rpad(CASE WHEN contains({text}, '.') THEN {text} ELSE {text} || '.' END, 18, '0')"
    return _stored_value(value, dtype)


def as_json(value: str, dtype: Any, depth: int = 0) -> str:
    """A column as a value of JSON: NaN and infinities are null, decimals with fractions and times text."""
    kind = dtype.id
    if kind in {"float", "double"}:
        # 0.1 of 32 bits is not written as 0.10000000149
        shown = value if kind == "double" else f"CAST(CAST({value} AS VARCHAR) AS DOUBLE)"
        return f"CASE WHEN isfinite({value}) THEN {shown} END"
    if kind in {"time", "time_ns"} or (kind in _FRACTIONS and kind not in _ZONED):
        return _by_thousands(f"CAST({value} AS VARCHAR)")
    if kind in _ZONED:
        text = _by_thousands(f"CAST({value} AT TIME ZONE 'UTC' AS VARCHAR)")
        return f"replace({text}, ' ', 'T') || '+00:00'"
    if kind == "decimal":
        # without fractions it is a number, whatever its digits
        return f"CAST({value} AS {'VARCHAR' if dict(dtype.children)['scale'] else 'HUGEINT'})"
    if kind == "struct" and _changes(dtype):
        fields = [
            f"{identifier(name)} := {as_json(f'struct_extract({value}, {literal(name)})', inner, depth)}"
            for name, inner in dtype.children
        ]
        return f"CASE WHEN {value} IS NOT NULL THEN struct_pack({', '.join(fields)}) END"
    if kind in {"list", "array"} and _changes(dtype):
        return f"list_transform({value}, lambda x{depth}: {as_json(f'x{depth}', dtype.children[0][1], depth + 1)})"
    return _stored_value(value, dtype)


def _changes(dtype: Any) -> bool:
    if dtype.id == "struct":
        return any(_changes(inner) for _, inner in dtype.children)
    if dtype.id in {"list", "array"}:
        return _changes(dtype.children[0][1])
    return dtype.id in {"float", "double", "time", "time_ns", "decimal", *_FRACTIONS}


def _by_thousands(text: str) -> str:
    """Fractions of a second with three, six or nine digits."""
    point = f"strpos({text}, '.')"
    return (
        f"CASE WHEN {point} = 0 THEN {text} "
        f"ELSE rpad({text}, CAST({point} + (length({text}) - {point} + 2) // 3 * 3 AS INTEGER), '0') END"
    )


def _stored_value(value: str, dtype: Any) -> str:
    kind = stored_type(dtype)
    return value if kind == str(dtype) else f"CAST({value} AS {kind})"


def _cast(value: str, dtype: Any, kind: str, name: str) -> str:
    return value if kind == str(dtype) else f"CAST({value} AS {kind}) AS {identifier(name)}"
