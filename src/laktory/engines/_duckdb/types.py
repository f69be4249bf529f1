"""Types of Narwhals as types of DuckDB, and what DuckDB's own become in files; names and values as SQL text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw

from laktory.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from duckdb.sqltypes import DuckDBPyType

__all__ = ["duckdb_type", "identifier", "literal", "stored_type"]

_NAMES: dict[type[nw.dtypes.DType], str] = {
    nw.Int8: "TINYINT",
    nw.Int16: "SMALLINT",
    nw.Int32: "INTEGER",
    nw.Int64: "BIGINT",
    nw.UInt8: "UTINYINT",
    nw.UInt16: "USMALLINT",
    nw.UInt32: "UINTEGER",
    nw.UInt64: "UBIGINT",
    nw.UInt128: "UHUGEINT",
    nw.Float32: "FLOAT",
    nw.Float64: "DOUBLE",
    nw.Boolean: "BOOLEAN",
    nw.String: "VARCHAR",
    nw.Categorical: "VARCHAR",
    nw.Binary: "BLOB",
    nw.Date: "DATE",
    nw.Time: "TIME",
    nw.Duration: "INTERVAL",
}
_TIMESTAMPS = {"s": "TIMESTAMP_S", "ms": "TIMESTAMP_MS", "us": "TIMESTAMP", "ns": "TIMESTAMP_NS"}
_STORED = {
    "hugeint": "BIGINT",
    "uhugeint": "UBIGINT",
    "timestamp_s": "TIMESTAMP",
    "timestamp_ms": "TIMESTAMP",
    **dict.fromkeys(("bit", "enum", "null", "uuid"), "VARCHAR"),
}


def identifier(name: str) -> str:
    """A name as SQL text."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    """A text, number, boolean, None, list or mapping of these as SQL text.

    Raises
    ------
    UnsupportedError
        The value is of another type.
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str) and "\0" not in value:
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return f"{{{', '.join(f'{literal(key)}: {literal(item)}' for key, item in value.items())}}}"
    msg = f"{value!r} is no value for a DUCKDB option; text, numbers, booleans, lists and mappings are"
    raise UnsupportedError(msg)


def duckdb_type(dtype: nw.dtypes.DType | type[nw.dtypes.DType]) -> str:
    """The type of DuckDB, as SQL text, that holds a Narwhals type.

    Raises
    ------
    UnsupportedError
        DuckDB has none.
    """
    made: Any = dtype() if isinstance(dtype, type) and not issubclass(dtype, nw.Enum) else dtype
    if isinstance(made, nw.Decimal):
        return f"DECIMAL({made.precision or 38},{made.scale or 0})"
    if isinstance(made, nw.Datetime):
        return _TIMESTAMPS[made.time_unit] if made.time_zone is None else "TIMESTAMP WITH TIME ZONE"
    if isinstance(made, nw.List):
        return f"{duckdb_type(made.inner)}[]"
    if isinstance(made, nw.Array):
        inner: Any = made
        while isinstance(inner, nw.Array):
            inner = inner.inner
        return duckdb_type(inner) + "".join(f"[{size}]" for size in reversed(made.shape))
    if isinstance(made, nw.Struct) and made.fields:
        return _struct((field.name, duckdb_type(field.dtype)) for field in made.fields)
    if isinstance(made, nw.Map):
        return f"MAP({duckdb_type(made.key)}, {duckdb_type(made.value)})"
    if isinstance(made, nw.Enum):
        return f"ENUM({', '.join(map(literal, made.categories))})"
    if isinstance(made, nw.Int128):
        return "HUGEINT"
    name = _NAMES.get(type(made))
    if name is None:
        msg = f"DUCKDB has no type for {made}"
        raise UnsupportedError(msg)
    return name


def stored_type(dtype: DuckDBPyType) -> str:
    """What a type becomes in files and intermediate results, as SQL text.

    ``SUM`` of integers is a HUGEINT, which files would give back as a fraction: it is stored as BIGINT, as other
    engines have it, and a value beyond 64 bits is an error. Arrays become lists, enums and UUIDs text.
    """
    kind = dtype.id
    children: Any = dtype.children if kind in {"struct", "list", "array", "map"} else ()
    if kind == "struct":
        return _struct((name, stored_type(inner)) for name, inner in children)
    if kind in {"list", "array"}:
        return f"{stored_type(children[0][1])}[]"
    if kind == "map":
        (_, key), (_, value) = children
        return f"MAP({stored_type(key)}, {stored_type(value)})"
    return _STORED.get(kind, str(dtype))


def _struct(fields: Iterable[tuple[str, str]]) -> str:
    return f"STRUCT({', '.join(f'{identifier(name)} {inner}' for name, inner in fields)})"
