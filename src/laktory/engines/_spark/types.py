"""Types between Polars, Narwhals and Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from laktory.engines.capabilities import PYSPARK
from laktory.engines.schemas import cast_whole
from laktory.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import narwhals as nw
    from pyspark.sql import DataFrame
    from pyspark.sql.types import DataType, StructType

__all__ = ["as_spark_holds", "identifier", "is_plain", "literal", "spark_schema", "with_one_nan"]

_WIDER: dict[type[pl.DataType], pl.DataType] = {
    pl.UInt8: pl.Int16(),
    pl.UInt16: pl.Int32(),
    pl.UInt32: pl.Int64(),
    pl.UInt64: pl.Decimal(20, 0),
    pl.Int128: pl.Decimal(38, 0),
    pl.Float16: pl.Float32(),
    pl.Categorical: pl.String(),
    pl.Enum: pl.String(),
    pl.Null: pl.String(),
}
"""Types that Spark has not, and those that hold all of their values."""


def is_plain(schema: Mapping[str, pl.DataType]) -> bool:
    """Whether Spark reads a file of these columns by itself as everybody else does."""
    return all(_held(dtype, "") == dtype for dtype in schema.values() if _known(dtype)) and all(
        map(_known, schema.values())
    )


def _known(dtype: pl.DataType) -> bool:
    try:
        _held(dtype, "")
    except SourceError:
        return False
    return True


def as_spark_holds(frame: pl.LazyFrame, where: str) -> pl.LazyFrame:
    """The frame with types that Spark has.

    Raises
    ------
    SourceError
        There is none for the values of a column, or, when it is computed, for one of its values.
    """

    def refuse(value: str, column: str) -> SourceError:
        msg = f"{where}: PYSPARK cannot hold {value} of column {column!r}: its times have microseconds"
        return SourceError(f"{msg}; let another engine cast it to Datetime('us'), or to text")

    wanted = {name: _held(dtype, f"{where}: column {name!r}") for name, dtype in frame.collect_schema().items()}
    return cast_whole(frame, wanted, refuse)


def _held(dtype: Any, where: str) -> pl.DataType:
    """The type of Spark for a type of Polars, in Polars' words."""
    if isinstance(dtype, (pl.List, pl.Array)):
        return pl.List(_held(dtype.inner, where))
    if isinstance(dtype, pl.Struct):
        return pl.Struct({field.name: _held(field.dtype, where) for field in dtype.fields})
    if isinstance(dtype, pl.Map):
        return pl.Map(_held(_made(dtype.key), where), _held(_made(dtype.value), where))
    if isinstance(dtype, pl.Datetime):
        return pl.Datetime(PYSPARK.time_unit, None if dtype.time_zone is None else "UTC")
    if type(dtype).__name__ in PYSPARK.unheld:
        msg = f"{where} has the type {dtype}, which PYSPARK cannot hold; cast it to text or a number before"
        raise SourceError(msg)
    wider = _WIDER.get(type(dtype))
    return dtype if wider is None else wider


def with_one_nan(frame: DataFrame) -> DataFrame:
    """The frame, in which no NaN has a sign: to Sail one with a sign, as many programs write it, is below any number,
    and another value than one without.

    So no part of a file is left out for the limits in its statistics either, which leave NaN out.
    """
    from pyspark.sql import functions

    columns, changed = [], False
    for field in frame.schema.fields:
        column = functions.col("`" + field.name.replace("`", "``") + "`")
        if field.dataType.typeName() in {"double", "float"}:
            nan = functions.lit(float("nan")).cast(field.dataType)
            column, changed = functions.when(functions.isnan(column), nan).otherwise(column).alias(field.name), True
        elif field.dataType.typeName() == "struct" and _has_fractions(field.dataType):
            column, changed = functions.when(column.isNotNull(), column).alias(field.name), True
        columns.append(column)
    return frame.select(*columns) if changed else frame


def _has_fractions(dtype: Any) -> bool:
    if dtype.typeName() == "struct":
        return any(_has_fractions(field.dataType) for field in dtype.fields)
    return dtype.typeName() in {"double", "float"}


def spark_schema(schema: nw.Schema | pl.Schema) -> StructType:
    """A schema in Spark's words."""
    from pyspark.sql import types as sp

    polars = schema if isinstance(schema, pl.Schema) else schema.to_polars()
    return sp.StructType(
        [sp.StructField(name, _spark_type(_held(dtype, repr(name)))) for name, dtype in polars.items()]
    )


def _spark_type(dtype: pl.DataType) -> DataType:
    from pyspark.sql import types as sp

    if isinstance(dtype, pl.List):
        return sp.ArrayType(_spark_type(_made(dtype.inner)))
    if isinstance(dtype, pl.Struct):
        return sp.StructType([sp.StructField(field.name, _spark_type(_made(field.dtype))) for field in dtype.fields])
    if isinstance(dtype, pl.Map):
        return sp.MapType(_spark_type(_made(dtype.key)), _spark_type(_made(dtype.value)))
    if isinstance(dtype, pl.Datetime):
        return sp.TimestampNTZType() if dtype.time_zone is None else sp.TimestampType()
    if isinstance(dtype, pl.Decimal):
        return sp.DecimalType(dtype.precision or 38, dtype.scale or 0)
    simple: dict[type[pl.DataType], type[DataType]] = {
        pl.Int8: sp.ByteType,
        pl.Int16: sp.ShortType,
        pl.Int32: sp.IntegerType,
        pl.Int64: sp.LongType,
        pl.Float32: sp.FloatType,
        pl.Float64: sp.DoubleType,
        pl.Boolean: sp.BooleanType,
        pl.String: sp.StringType,
        pl.Binary: sp.BinaryType,
        pl.Date: sp.DateType,
    }
    return simple[type(dtype)]()


def _made(dtype: Any) -> pl.DataType:
    made: pl.DataType = dtype() if isinstance(dtype, type) else dtype
    return made


def identifier(name: str) -> str:
    """A name as Spark's SQL takes it."""
    return f"`{name.replace('`', '``')}`"


def literal(text: str) -> str:
    """A text as Spark's SQL takes it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
