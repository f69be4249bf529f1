"""Data types of columns, under the names Narwhals and Polars give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from laktory.diagnostics import closest
from laktory.models.base import BaseModel, is_variable
from laktory.models.problems import problem_error

if TYPE_CHECKING:
    import narwhals as nw
    import polars as pl

__all__ = ["NAMES", "DField", "DType"]

NAMES = (
    "Array", "Binary", "Boolean", "Categorical", "Date", "Datetime", "Decimal", "Duration", "Enum", "Float32",
    "Float64", "Int8", "Int16", "Int32", "Int64", "Int128", "List", "Object", "String", "Struct", "Time",
    "UInt8", "UInt16", "UInt32", "UInt64", "UInt128", "Unknown",
)  # fmt: skip
"""Every data type."""

_BY_FOLDED = {name.casefold(): name for name in NAMES}
_ALIASES = {
    "bigint": "Int64", "int": "Int32", "integer": "Int32", "smallint": "Int16", "short": "Int16", "tinyint": "Int8",
    "byte": "Int8", "float": "Float32", "double": "Float64", "str": "String", "varchar": "String", "text": "String",
    "bool": "Boolean", "obj": "Object", "varbinary": "Binary", "category": "Categorical", "timestamp": "Datetime",
}  # fmt: skip

# parameter → types that have it; required ones are in _REQUIRED
_PARAMETERS = {
    "inner": ("List", "Array"),
    "shape": ("Array",),
    "fields": ("Struct",),
    "categories": ("Enum",),
    "time_unit": ("Datetime", "Duration"),
    "time_zone": ("Datetime",),
    "precision": ("Decimal",),
    "scale": ("Decimal",),
}
_REQUIRED = {"List": ("inner",), "Array": ("inner", "shape"), "Struct": ("fields",), "Enum": ("categories",)}


class DType(BaseModel):
    """A data type. A bare name is enough where nothing else is needed: ``dtype: Int64``.

    Names are accepted in any case, and in the spellings of SQL (``bigint``, ``varchar``), with a warning.
    A `Datetime` without `time_zone` holds no zone, as the ``TIMESTAMP`` of SQL.
    """

    planned: ClassVar = {"category": "named categories; write 'categories' for the values of an Enum"}

    name: str = Field(description=f"One of {', '.join(NAMES)}.")
    inner: DType | None = Field(default=None, description="Type of the items (List, Array).")
    fields: list[DField] | None = Field(
        default=None, description="Fields (Struct): a list, or a mapping from name to type."
    )
    shape: int | list[int] | None = Field(
        default=None, description="Number of items, or one number per dimension (Array)."
    )
    categories: list[str] | None = Field(default=None, description="Every value that can occur (Enum).")
    time_unit: Literal["ms", "us", "ns"] | None = Field(
        default=None, description="Precision (Datetime, Duration). Default: us."
    )
    time_zone: str | None = Field(default=None, description="IANA time zone, e.g. UTC (Datetime). Default: none.")
    precision: int | None = Field(default=None, ge=1, le=38, description="Number of digits (Decimal). Default: 38.")
    scale: int | None = Field(default=None, ge=0, le=38, description="Digits after the point (Decimal). Default: 0.")

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, data: Any) -> Any:
        if isinstance(data, str) and not is_variable(data):
            data = {"name": data}
        if isinstance(data, dict) and isinstance(data.get("fields"), dict):
            data = {**data, "fields": [{"name": name, "dtype": dtype} for name, dtype in data["fields"].items()]}
        if isinstance(data, dict) and isinstance(data.get("name"), str) and not is_variable(data["name"]):
            return {**data, "name": _canonical(data["name"])}
        return data

    @model_validator(mode="after")
    def _complete(self) -> DType:
        if is_variable(self.name):
            return self
        for parameter, owners in _PARAMETERS.items():
            if getattr(self, parameter) is not None and self.name not in owners:
                valid = [key for key, names in _PARAMETERS.items() if self.name in names] or "none"
                raise problem_error(f"{self.name} has no parameter {parameter!r}", valid=valid, key=parameter)
        for parameter in _REQUIRED.get(self.name, ()):
            if not getattr(self, parameter) and getattr(self, parameter) != 0:
                raise problem_error(f"{self.name} needs {parameter!r}", hint=_EXAMPLES[self.name])
        self._consistent()
        return self

    def _consistent(self) -> None:
        if isinstance(self.precision, int) and isinstance(self.scale, int) and self.scale > self.precision:
            raise problem_error(f"scale {self.scale} is more than precision {self.precision}", key="scale")
        sizes = [self.shape] if isinstance(self.shape, int) else self.shape or []
        if not all(isinstance(size, str) or size > 0 for size in sizes):
            raise problem_error(f"shape {self.shape} holds a number below 1", key="shape")
        for parameter, names in (
            ("fields", [f.name for f in self.fields or []]),
            ("categories", self.categories or []),
        ):
            double = next((name for name in names if names.count(name) > 1), None)
            if double is not None:
                raise problem_error(f"{double!r} is there twice", key=parameter)
        if self.time_zone is not None and not is_variable(self.time_zone):
            _check_time_zone(self.time_zone)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DType) and self.to_plain_type() == other.to_plain_type()

    # ---- conversions -------------------------------------------------------------------------

    def to_plain_type(self) -> str | dict[str, Any]:
        """The shortest way to write it: a name, or a mapping with the parameters that were given."""
        plain: dict[str, Any] = {"name": self.name}
        if self.inner is not None:
            plain["inner"] = self.inner.to_plain_type()
        if self.fields is not None:
            plain["fields"] = [{"name": item.name, "dtype": item.dtype.to_plain_type()} for item in self.fields]
        for parameter in ("shape", "categories", "time_zone", "precision", "scale"):
            if getattr(self, parameter) is not None:
                plain[parameter] = getattr(self, parameter)
        if self.time_unit not in (None, "us"):
            plain["time_unit"] = self.time_unit
        return self.name if len(plain) == 1 else plain

    def to_narwhals(self) -> nw.dtypes.DType:
        """As a Narwhals data type."""
        import narwhals

        return self._in_words_of(narwhals)  # type: ignore[no-any-return]

    def to_polars(self) -> pl.DataType:
        """As a Polars data type."""
        import polars as pl

        return self._in_words_of(pl)  # type: ignore[no-any-return]

    def _in_words_of(self, library: Any) -> Any:
        """Narwhals and Polars name their types and parameters alike."""
        make = getattr(library, self.name)
        if self.name == "List":
            return make(self.inner._in_words_of(library))  # type: ignore[union-attr]
        if self.name == "Array":
            shape = tuple(self.shape) if isinstance(self.shape, list) else self.shape
            return make(self.inner._in_words_of(library), shape)  # type: ignore[union-attr]
        if self.name == "Struct":
            return make([library.Field(item.name, item.dtype._in_words_of(library)) for item in self.fields or []])
        if self.name == "Enum":
            return make(self.categories)
        if self.name == "Datetime":
            return make(self.time_unit or "us", self.time_zone)
        if self.name == "Duration":
            return make(self.time_unit or "us")
        if self.name == "Decimal":
            return make(self.precision or 38, self.scale or 0)
        return make()

    @classmethod
    def from_narwhals(cls, dtype: nw.dtypes.DType | type[nw.dtypes.DType]) -> DType:
        """From a Narwhals data type."""
        if isinstance(dtype, type):
            dtype = dtype()
        name = type(dtype).__name__
        if name not in NAMES:
            name = "Unknown"
        values: dict[str, Any] = {}
        if name == "Struct":
            values["fields"] = [DField(name=item.name, dtype=cls.from_narwhals(item.dtype)) for item in dtype.fields]  # type: ignore[attr-defined]
        elif name == "List":
            values["inner"] = cls.from_narwhals(dtype.inner)  # type: ignore[attr-defined]
        elif name == "Array":
            shape = dtype.shape  # type: ignore[attr-defined]
            inner = dtype
            for _ in shape:
                inner = inner.inner  # type: ignore[attr-defined]
            values = {"inner": cls.from_narwhals(inner), "shape": shape[0] if len(shape) == 1 else list(shape)}
        else:
            for parameter, owners in _PARAMETERS.items():
                value = getattr(dtype, parameter, None) if name in owners else None
                if value is not None:
                    values[parameter] = list(value) if parameter == "categories" else value
        return DType(name=name, **values)


class DField(BaseModel):
    """A field of a Struct."""

    name: str = Field(description="Name of the field.")
    dtype: DType = Field(description="Its data type.")


_EXAMPLES = {
    "List": "write {name: List, inner: Int64}",
    "Array": "write {name: Array, inner: Int64, shape: 3}",
    "Struct": "write {name: Struct, fields: {x: Int64}}",
    "Enum": "write {name: Enum, categories: [a, b]}",
}


def _canonical(name: str) -> str:
    folded = name.strip().casefold()
    if folded in _BY_FOLDED:
        return _BY_FOLDED[folded]
    if folded in _ALIASES:
        from laktory.log import get_logger

        get_logger(__name__).warning("Data type %r should be replaced with %r", name, _ALIASES[folded])
        return _ALIASES[folded]
    hint = closest(name, [*NAMES, *_ALIASES])
    raise problem_error(f"{name!r} is not a data type", valid=NAMES, hint=hint, key="")


def _check_time_zone(name: str) -> None:
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        hint = closest(name, zoneinfo.available_timezones())
        raise problem_error(
            f"{name!r} is not an IANA time zone", hint=hint or "write e.g. 'UTC'", key="time_zone"
        ) from None
