"""Types of Delta columns: what a frame is cast to, and how the log spells it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from laktory.errors import SinkError

if TYPE_CHECKING:
    import narwhals as nw
    from narwhals.dtypes import DType

__all__ = ["delta_schema", "not_null", "schema_json", "type_text"]

_SIMPLE = {
    "Int8": "byte",
    "Int16": "short",
    "Int32": "integer",
    "Int64": "long",
    "Float32": "float",
    "Float64": "double",
    "String": "string",
    "Boolean": "boolean",
    "Binary": "binary",
    "Date": "date",
}
_WIDER = {
    "UInt8": "Int16",
    "UInt16": "Int32",
    "UInt32": "Int64",
    "UInt64": "Int64",
    "Float16": "Float32",
    "Categorical": "String",
    "Enum": "String",
}
_WHY = {
    "Time": "Delta has no time of day; cast it to String or to microseconds (Int64)",
    "Duration": "Delta has no durations; cast it to Int64",
    "Int128": "Delta has no 128-bit integers; cast it to Decimal(38, 0) or Int64",
    "UInt128": "Delta has no 128-bit integers; cast it to Decimal(38, 0) or Int64",
    "Map": "maps are not written to Delta by this version; make a list of structs of it",
    "Unknown": "it holds nothing but NULLs or a type Delta does not have; cast it to the type it stands for",
}


def delta_schema(schema: nw.Schema) -> nw.Schema:
    """The types a Delta table gives to columns: cast a frame to them (strictly) before staging it.

    Unsigned integers become the next wider signed type (UInt64: Int64), timestamps microseconds, those
    with a time zone UTC, Categorical and Enum String, Array List.

    Raises
    ------
    SinkError
        If a column has a type that no cast keeps the meaning of (Time, Duration, Int128, only NULLs, ...), or
        two names differ only in case.
    """
    import narwhals as nw

    folded: dict[str, str] = {}
    for name in schema:
        if (other := folded.setdefault(name.lower(), name)) != name:
            msg = f"columns {other!r} and {name!r} differ only in case, which a Delta table does not allow"
            raise SinkError(msg)
    if not schema:
        msg = "a Delta table needs at least one column"
        raise SinkError(msg)
    return nw.Schema({name: _cast(dtype, name) for name, dtype in schema.items()})


def _cast(dtype: DType, column: str) -> DType:
    import narwhals as nw

    name = type(dtype).__name__
    if name in _SIMPLE:
        return dtype
    if name in _WIDER:
        wider: DType = getattr(nw, _WIDER[name])()
        return wider
    if isinstance(dtype, nw.Decimal):
        return dtype
    if isinstance(dtype, nw.Datetime):
        return nw.Datetime("us", "UTC" if dtype.time_zone else None)
    if isinstance(dtype, nw.List):
        return nw.List(_cast(_instance(dtype.inner), column))
    if isinstance(dtype, nw.Array):
        inner = dtype.inner
        return nw.List(_cast(_instance(inner), column))
    if isinstance(dtype, nw.Struct):
        return nw.Struct({field.name: _cast(_instance(field.dtype), column) for field in dtype.fields})
    why = _WHY.get(name, "Delta has no such type; cast it")
    msg = f"column {column!r} of type {dtype} cannot be written to a Delta table: {why}"
    raise SinkError(msg)


def _instance(dtype: Any) -> DType:
    made: DType = dtype() if isinstance(dtype, type) else dtype
    return made


def schema_json(schema: nw.Schema) -> list[dict[str, Any]]:
    """Fields of a schema as the Delta log spells them.

    Raises
    ------
    SinkError
        If a type is not one of `delta_schema`'s.
    """
    if (kept := delta_schema(schema)) != schema:
        found = ", ".join(
            f"{name!r} {schema[name]} (cast to {kept[name]})" for name in schema if schema[name] != kept[name]
        )
        msg = f"columns must be cast before they are staged for a Delta table: {found}"
        raise SinkError(msg)
    return [_field(name, dtype) for name, dtype in schema.items()]


def _field(name: str, dtype: DType) -> dict[str, Any]:
    return {"name": name, "type": _type(dtype), "nullable": True, "metadata": {}}


def _type(dtype: DType) -> Any:
    import narwhals as nw

    if isinstance(dtype, nw.Decimal):
        return f"decimal({dtype.precision},{dtype.scale})"
    if isinstance(dtype, nw.Datetime):
        return "timestamp" if dtype.time_zone else "timestamp_ntz"
    if isinstance(dtype, nw.List):
        return {"type": "array", "elementType": _type(_instance(dtype.inner)), "containsNull": True}
    if isinstance(dtype, nw.Struct):
        return {"type": "struct", "fields": [_field(item.name, _instance(item.dtype)) for item in dtype.fields]}
    return _SIMPLE[type(dtype).__name__]


def type_text(kind: Any) -> str:
    """A type of the log as SQL spells it; equal for equal types whatever their NULL rules."""
    if isinstance(kind, str):
        return kind.replace(" ", "")
    if kind["type"] == "array":
        return f"array<{type_text(kind['elementType'])}>"
    if kind["type"] == "map":
        return f"map<{type_text(kind['keyType'])},{type_text(kind['valueType'])}>"
    fields = [f"{json.dumps(field['name'])}:{type_text(field['type'])}" for field in kind["fields"]]
    return f"struct<{','.join(fields)}>"


def not_null(field: dict[str, Any]) -> bool:
    """Whether a column, or a value inside it, must not be NULL."""
    return not field.get("nullable", True) or _strict(field["type"])


def _strict(kind: Any) -> bool:
    if isinstance(kind, str):
        return False
    if kind["type"] == "array":
        return not kind.get("containsNull", True) or _strict(kind["elementType"])
    if kind["type"] == "map":
        return not kind.get("valueContainsNull", True) or _strict(kind["valueType"])
    return any(not_null(field) for field in kind["fields"])
