"""One class per data type: ``Int64()`` is ``DType(name="Int64")``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from laktory.models.dtype import NAMES, DField, DType

__all__ = [
    "NAMES", "Array", "Binary", "Boolean", "Categorical", "DField", "DType", "Date", "Datetime", "Decimal", "Duration",
    "Enum", "Float32", "Float64", "Int8", "Int16", "Int32", "Int64", "Int128", "List", "Object", "String", "Struct",
    "Time", "UInt8", "UInt16", "UInt32", "UInt64", "UInt128", "Unknown",
]  # fmt: skip


def _one_type(name: str) -> Any:
    return Field(default=name, description=f"Always {name}.")


class Array(DType):
    """Lists of a fixed shape: `inner`, `shape`."""

    name: Literal["Array"] = _one_type("Array")


class Binary(DType):
    """Bytes."""

    name: Literal["Binary"] = _one_type("Binary")


class Boolean(DType):
    """True or false."""

    name: Literal["Boolean"] = _one_type("Boolean")


class Categorical(DType):
    """Texts that repeat."""

    name: Literal["Categorical"] = _one_type("Categorical")


class Date(DType):
    """A day."""

    name: Literal["Date"] = _one_type("Date")


class Datetime(DType):
    """A moment: `time_unit`, `time_zone`."""

    name: Literal["Datetime"] = _one_type("Datetime")


class Decimal(DType):
    """Exact numbers: `precision`, `scale`."""

    name: Literal["Decimal"] = _one_type("Decimal")


class Duration(DType):
    """A length of time: `time_unit`."""

    name: Literal["Duration"] = _one_type("Duration")


class Enum(DType):
    """Texts of a closed list: `categories`."""

    name: Literal["Enum"] = _one_type("Enum")


class Float32(DType):
    """Floating-point numbers of 32 bits."""

    name: Literal["Float32"] = _one_type("Float32")


class Float64(DType):
    """Floating-point numbers of 64 bits."""

    name: Literal["Float64"] = _one_type("Float64")


class Int8(DType):
    """Whole numbers of 8 bits."""

    name: Literal["Int8"] = _one_type("Int8")


class Int16(DType):
    """Whole numbers of 16 bits."""

    name: Literal["Int16"] = _one_type("Int16")


class Int32(DType):
    """Whole numbers of 32 bits."""

    name: Literal["Int32"] = _one_type("Int32")


class Int64(DType):
    """Whole numbers of 64 bits."""

    name: Literal["Int64"] = _one_type("Int64")


class Int128(DType):
    """Whole numbers of 128 bits."""

    name: Literal["Int128"] = _one_type("Int128")


class List(DType):
    """Lists: `inner`."""

    name: Literal["List"] = _one_type("List")


class Object(DType):
    """Python objects."""

    name: Literal["Object"] = _one_type("Object")


class String(DType):
    """Text."""

    name: Literal["String"] = _one_type("String")


class Struct(DType):
    """Named fields: `fields`."""

    name: Literal["Struct"] = _one_type("Struct")


class Time(DType):
    """A time of day."""

    name: Literal["Time"] = _one_type("Time")


class UInt8(DType):
    """Whole numbers, 0 or more, of 8 bits."""

    name: Literal["UInt8"] = _one_type("UInt8")


class UInt16(DType):
    """Whole numbers, 0 or more, of 16 bits."""

    name: Literal["UInt16"] = _one_type("UInt16")


class UInt32(DType):
    """Whole numbers, 0 or more, of 32 bits."""

    name: Literal["UInt32"] = _one_type("UInt32")


class UInt64(DType):
    """Whole numbers, 0 or more, of 64 bits."""

    name: Literal["UInt64"] = _one_type("UInt64")


class UInt128(DType):
    """Whole numbers, 0 or more, of 128 bits."""

    name: Literal["UInt128"] = _one_type("UInt128")


class Unknown(DType):
    """A type the other names have no word for."""

    name: Literal["Unknown"] = _one_type("Unknown")
