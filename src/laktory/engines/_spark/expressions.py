"""Methods of expressions that Narwhals has not over a frame of Spark, or gets wrong, done right.

Spark gives other types than other engines (whole numbers for FLOOR, a zone for DATE_TRUNC), and what is right depends
on the types of the arguments, for which the frame is asked. Expressions know no engine before they meet a frame: the
classes that Narwhals makes of them then are mended, once, when the engine is imported.
"""

# ruff: noqa: SLF001 - Narwhals has no public way to change what an expression becomes
# ruff: noqa: N803, N806 - F is what all of Spark's world calls its functions; Narwhals tells which those of a frame are

from __future__ import annotations

import datetime as dt
from functools import wraps
from typing import TYPE_CHECKING, Any

import narwhals as nw
from narwhals._spark_like import expr as spark_expr
from narwhals._spark_like import namespace as spark_namespace
from narwhals._spark_like.dataframe import SparkLikeLazyFrame
from narwhals._spark_like.expr import SparkLikeExpr
from narwhals._spark_like.expr_dt import SparkLikeExprDateTimeNamespace
from narwhals._spark_like.expr_list import SparkLikeExprListNamespace
from narwhals._spark_like.expr_str import SparkLikeExprStringNamespace
from narwhals._spark_like.namespace import SparkLikeNamespace
from narwhals._spark_like.utils import narwhals_to_native_dtype

from laktory.engines._spark.connection import is_sail
from laktory.engines._spark.numerals import float_text
from laktory.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyspark.sql import Column

__all__ = ["mend"]

_MICROS = 1_000_000
_ALL_WHOLE = 2.0**52
"""From here on every Float64 is a whole number."""

_UNSIGNED = {"UInt8": "Int16", "UInt16": "Int32", "UInt32": "Int64", "UInt64": "Decimal(20, 0)"}


def mend() -> None:
    """Put right what this module lists. A second time changes nothing."""
    for module in (spark_expr, spark_namespace):
        module.narwhals_to_native_dtype = _native_dtype  # type: ignore[attr-defined]
    for owner, methods in _MENDED.items():
        for name, method in methods.items():
            setattr(owner, name, method)


# ---- how an expression is made of others -------------------------------------------------------


def _made(
    expr: Any, call: Callable[[Any], Sequence[Column]], window: Callable[[Any, Any], Sequence[Column]] | None
) -> Any:
    return expr.__class__(
        call,
        window,
        evaluate_output_names=expr._evaluate_output_names,
        alias_output_names=expr._alias_output_names,
        version=expr._version,
        implementation=expr._implementation,
    )


def _elementwise(expr: Any, call: Callable[..., Column], *others: Any) -> Any:
    """``call(value, its type, *others)`` for each column of an expression; the type is None where it is not known."""

    def func(df: Any) -> list[Column]:
        found = expr(df)
        args = [df._evaluate_single_output_expr(other) for other in others]
        return [call(value, dtype, *args) for value, dtype in zip(found, _types(df, found), strict=True)]

    def window(df: Any, inputs: Any) -> list[Column]:
        found = expr.window_function(df, inputs)
        args = [df._evaluate_window_expr(other, inputs) for other in others]
        return [call(value, dtype, *args) for value, dtype in zip(found, _types(df, found), strict=True)]

    return _made(expr, func, window)


def _types(df: Any, values: Sequence[Column]) -> list[Any]:
    """Types of expressions over a frame; None for those it does not take, which the engine itself tells best."""
    try:
        named = [value.alias(f"c{number}") for number, value in enumerate(values)]
        return [field.dataType for field in df.native.select(*named).schema.fields]
    except Exception:  # noqa: BLE001 - of any library below
        return [None] * len(values)


def _over(expr: Any, value: Column, inputs: Any) -> Column:
    made: Column = expr._window_expression(value, inputs.partition_by)
    return made


# ---- types and constants -----------------------------------------------------------------------


def _native_dtype(dtype: Any, version: Any, spark_types: Any, session: Any) -> Any:
    """The type of Spark for one of Narwhals. What has 128 bits elsewhere is a decimal of 38 digits.

    Raises
    ------
    StepError
        Spark has none.
    """
    name = str(dtype).partition("(")[0]
    if name == "Int128":
        return spark_types.DecimalType(38, 0)
    if name in {"List", "Array"} and hasattr(dtype, "inner"):
        return spark_types.ArrayType(_native_dtype(dtype.inner, version, spark_types, session))
    if name == "Datetime" and getattr(dtype, "time_unit", "us") != "us":
        dtype = nw.Datetime("us", dtype.time_zone)
    instead = {**_UNSIGNED, "Enum": "String", "Categorical": "String", "Time": "String", "UInt128": "Decimal(38, 0)"}
    if name in instead:
        msg = f"PYSPARK has no type {name}; cast to {instead[name]}"
        raise StepError(msg)
    return narwhals_to_native_dtype(dtype, version, spark_types, session)


def _constant(F: Any, value: Any) -> Any:
    """A moment as its text: Spark's client would read one without a zone in the zone of the machine."""
    if not isinstance(value, dt.datetime):
        return F.lit(value)
    if value.tzinfo is None:
        return F.lit(value.isoformat(" ")).cast("timestamp_ntz")
    return F.lit(value.astimezone(dt.UTC).isoformat(" ")).cast("timestamp_ltz")


def _lit(namespace: Any, value: Any) -> Column:
    found: Column = _constant(namespace._F, value)
    return found


def _literal(namespace: Any, value: Any, dtype: Any) -> Any:
    if isinstance(value, dt.datetime):
        found = _narwhals_literal(namespace, 0, None)
        made = _made(found, lambda _: [namespace._lit(value)], lambda *_: [namespace._lit(value)])
        return made if dtype is None else made.cast(dtype)
    return _narwhals_literal(namespace, value, dtype)


_narwhals_literal = SparkLikeNamespace.lit


def _is_in(expr: Any, other: Sequence[Any]) -> Any:
    """Of NULL it is not known."""
    F = expr._F

    def among(value: Column) -> Any:
        values = [_constant(F, item) for item in other if item is not None]
        return F.when(value.isNotNull(), value.isin(*values) if values else F.lit(False))

    return expr._with_elementwise(among)


def _cast(expr: Any, dtype: Any) -> Any:
    text, wide = str(dtype) == "String", str(dtype).partition("(")[0] in {"Int128", "Decimal"}

    def cast(df: Any, found: Sequence[Column]) -> list[Column]:
        wanted = _native_dtype(dtype, expr._version, expr._native_dtypes, df.native.sparkSession)
        short = is_sail(df.native.sparkSession)
        kinds = _types(df, found) if text or (wide and short) else [None] * len(found)
        return [
            float_text(expr._F, value, kind, short=short)
            if text and _is_float(kind)
            # Sail makes no decimal of a boolean
            else (value.cast("bigint") if wide and _kind(kind) == "boolean" else value).cast(wanted)
            for value, kind in zip(found, kinds, strict=True)
        ]

    return _made(expr, lambda df: cast(df, expr(df)), lambda df, inputs: cast(df, expr.window_function(df, inputs)))


def _kind(dtype: Any) -> str:
    return "" if dtype is None else str(dtype.typeName())


def _is_float(dtype: Any) -> bool:
    return _kind(dtype) in {"double", "float"}


def _is_integer(dtype: Any) -> bool:
    return _kind(dtype) in {"byte", "short", "integer", "long"}


# ---- numbers -----------------------------------------------------------------------------------


def _floor(expr: Any) -> Any:
    """A fraction stays one: Spark makes a whole number of it, 0 of NaN, and the largest one of what is larger."""

    F = expr._F

    def floor(value: Column, dtype: Any) -> Any:
        return _whole_part(F, value, F.floor(value).cast(dtype)) if _is_float(dtype) else F.floor(value)

    return _elementwise(expr, floor)


def _ceil(expr: Any) -> Any:
    F = expr._F

    def ceil(value: Column, dtype: Any) -> Any:
        # minus zero for what is a little below zero, as others give it
        return _whole_part(F, value, -F.floor(-value).cast(dtype)) if _is_float(dtype) else F.ceil(value)

    return _elementwise(expr, ceil)


def _whole_part(F: Any, value: Column, part: Column) -> Any:
    return F.when((value != F.lit(0)) & (F.abs(value) < F.lit(_ALL_WHOLE)), part).otherwise(value)


def _quotient(F: Any, left: Column, right: Column) -> Any:
    """By zero it is infinite, or no number; where the engine would stop."""
    zero = F.lit(0)
    infinite = F.when(left > zero, F.lit(float("inf"))).when(left < zero, F.lit(float("-inf")))
    by_zero = F.when(left == zero, F.lit(float("nan"))).otherwise(infinite)
    return F.when(right == zero, by_zero).otherwise(left / F.nullif(right, zero))


def _true_divided(expr: Any, other: Any) -> Any:
    return expr._with_binary(lambda value, other: _quotient(expr._F, value, other), other)


def _true_divides(expr: Any, other: Any) -> Any:
    return expr._with_binary(lambda value, other: _quotient(expr._F, other, value), other).alias("literal")


def _floor_quotient(F: Any, left: Column, dtype: Any, right: Column) -> Any:
    divisor = F.nullif(right, F.lit(0))
    if not _is_integer(dtype) and not (_kind(dtype) == "decimal" and dtype.scale == 0):
        quotient = left / divisor
        return _whole_part(F, quotient, F.floor(quotient).cast("double"))
    rest = left % divisor
    # exact, where a fraction of 64 bits has not the digits; of decimals, `div` wraps around
    whole = F.call_function("div", left, divisor) if _is_integer(dtype) else (left - rest) / divisor
    one_less = (rest != F.lit(0)) & ((left < F.lit(0)) != (divisor < F.lit(0)))
    return F.when(one_less, whole.cast(dtype) - F.lit(1)).otherwise(whole.cast(dtype))


def _floor_divided(expr: Any, other: Any) -> Any:
    return _elementwise(expr, lambda value, dtype, right: _floor_quotient(expr._F, value, dtype, right), other)


def _floor_divides(expr: Any, other: Any) -> Any:
    return _floor_divided(other, expr).alias("literal")


def _modulo(expr: Any, other: Any) -> Any:
    """With the sign of the right side; NULL for zero there, where the engine would stop."""
    F = expr._F

    def modulo(value: Column, other: Column) -> Column:
        divisor = F.nullif(other, F.lit(0))
        rest: Column = ((value % divisor) + divisor) % divisor
        return rest

    return expr._with_binary(modulo, other)


def _modulo_of(expr: Any, other: Any) -> Any:
    return _modulo(other, expr).alias("literal")


# ---- aggregates --------------------------------------------------------------------------------


def _summed(expr: Any) -> Any:
    """0 of nothing; booleans are counted, decimals have all digits there are."""
    F, types = expr._F, expr._native_dtypes

    def total(df: Any, found: Sequence[Column], spread: Callable[[Column], Column]) -> list[Column]:
        sums = []
        for value, dtype in zip(found, _types(df, found), strict=True):
            counted = value.cast("bigint") if _kind(dtype) == "boolean" else value
            result = F.coalesce(spread(F.sum(counted)), F.lit(0))
            sums.append(result.cast(types.DecimalType(38, dtype.scale)) if _kind(dtype) == "decimal" else result)
        return sums

    return _made(
        expr,
        lambda df: total(df, expr(df), lambda value: value),
        lambda df, inputs: total(df, expr(df), lambda value: _over(expr, value, inputs)),
    )


def _unique_count(expr: Any) -> Any:
    """NULL is one value; of nothing it is 0. Spark counts no distinct values over a window."""
    F = expr._F

    def null(value: Column) -> Column:
        found: Column = F.max(F.isnull(value).cast("int"))
        return found

    def whole(value: Column) -> Column:
        found: Column = F.count_distinct(value) + F.coalesce(null(value), F.lit(0))
        return found

    def window(df: Any, inputs: Any) -> list[Column]:
        sets = [_over(expr, F.collect_set(value), inputs) for value in expr(df)]
        return [F.size(found) + _over(expr, null(value), inputs) for found, value in zip(sets, expr(df), strict=True)]

    return expr._with_callable(whole, window)


def _ordered(*, last: bool) -> Callable[..., Any]:
    """``first`` and ``last`` in an order, in which NULL comes first."""

    def method(expr: Any, order_by: Sequence[str] = ()) -> Any:
        F = expr._F

        def whole(df: Any) -> list[Column]:
            keys = [F.col(_quoted(name)) for name in order_by]
            # structs, because NULL would be passed over
            key = F.struct(*(part for column in keys for part in (column.isNotNull(), column)))
            chosen = F.max_by if last else F.min_by
            return [chosen(F.struct(value.alias("v")), key).getField("v") for value in expr(df)]

        def window(df: Any, inputs: Any) -> list[Column]:
            sort = F.desc_nulls_last if last else F.asc_nulls_first
            order = [sort(F.col(_quoted(name))) for name in inputs.order_by or order_by]
            rows = (expr._Window.unboundedPreceding, expr._Window.unboundedFollowing)
            over = expr.partition_by(*inputs.partition_by).orderBy(*order).rowsBetween(*rows)
            return [F.first(value).over(over) for value in expr(df)]

        return _made(expr, whole, window)

    return method


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


# ---- texts -------------------------------------------------------------------------------------


def _contains(namespace: Any, pattern: Any, *, literal: bool) -> Any:
    if literal:
        return _narwhals_contains(namespace, pattern, literal=True)
    expr = namespace.compliant
    return _with_pattern(expr, pattern, expr._F.regexp)


_narwhals_contains = SparkLikeExprStringNamespace.contains


def _replace_all(namespace: Any, value: Any, pattern: str, *, literal: bool) -> Any:
    if literal:
        return _narwhals_replace_all(namespace, value, pattern, literal=True)
    return _with_pattern(namespace.compliant, pattern, namespace.compliant._F.regexp_replace, value)


_narwhals_replace_all = SparkLikeExprStringNamespace.replace_all


def _with_pattern(expr: Any, pattern: Any, function: Callable[..., Column], *others: Any) -> Any:
    """``function(value, pattern, *others)``, the pattern, a text or an expression, in the words of what computes it."""
    F = expr._F
    texts = (expr.__narwhals_namespace__().lit(pattern, None) if isinstance(pattern, str) else pattern, *others)

    def called(df: Any, found: Sequence[Column], sought: Column, *args: Column) -> list[Column]:
        # Java knows letters outside of ASCII, and takes only LF for the end of a line, if it is told to
        told = sought if is_sail(df.native.sparkSession) else F.concat(F.lit("(?du)"), sought)
        return [function(value, told, *args) for value in found]

    return _made(
        expr,
        lambda df: called(df, expr(df), *(df._evaluate_single_output_expr(text) for text in texts)),
        lambda df, inputs: called(
            df, expr.window_function(df, inputs), *(df._evaluate_window_expr(text, inputs) for text in texts)
        ),
    )


def _split(namespace: Any, by: str) -> Any:
    """By a text; Spark takes it for a regular expression."""
    plain = "".join(f"\\{char}" if char in r"\.+*?()|[]{}^$" else char for char in by)
    return namespace.compliant._with_elementwise(lambda value: namespace.compliant._F.split(value, plain))


def _stripped(name: str) -> Callable[[Any, str | None], Any]:
    def method(namespace: Any, characters: str | None = None) -> Any:
        F = namespace.compliant._F
        sought = " \t\n\r\v\f" if characters is None else characters
        return namespace.compliant._with_elementwise(lambda value: getattr(F, name)(value, F.lit(sought)))

    return method


# ---- times -------------------------------------------------------------------------------------


def _weekday(namespace: Any, value: Column) -> Column:
    """1 is Monday, 7 is Sunday."""
    found: Column = (namespace.compliant._F.dayofweek(value) + 5) % 7 + 1
    return found


def _fraction(of: int, unit: int) -> Callable[[Any], Any]:
    """The part of a second, which is positive before 1970 too."""

    def method(namespace: Any) -> Any:
        F = namespace.compliant._F

        def part(value: Column) -> Any:
            micros = F.pmod(F.unix_micros(value.cast("timestamp_ltz")), F.lit(_MICROS))
            return micros * F.lit(unit) if of == 1 else F.floor(micros / F.lit(of))

        return namespace.compliant._with_elementwise(part)

    return method


def _kept(name: str) -> Callable[..., Any]:
    """A method that gives the type that it takes; Spark puts a zone to a time that has none."""
    wrong = getattr(SparkLikeExprDateTimeNamespace, name)

    @wraps(wrong)
    def method(namespace: Any, *args: Any, **kwargs: Any) -> Any:
        expr = namespace.compliant
        moved = wrong(namespace, *args, **kwargs)

        def kept(df: Any, found: Sequence[Column], results: Sequence[Column]) -> list[Column]:
            types = _types(df, found)
            return [
                result if dtype is None else result.cast(dtype) for result, dtype in zip(results, types, strict=True)
            ]

        return _made(
            expr,
            lambda df: kept(df, expr(df), moved(df)),
            lambda df, inputs: kept(df, expr.window_function(df, inputs), moved.window_function(df, inputs)),
        )

    return method


def _convert_time_zone(namespace: Any, time_zone: str) -> Any:
    _refuse_zone("convert_time_zone", time_zone)
    return namespace.compliant._with_elementwise(lambda value: value.cast("timestamp_ltz"))


def _replace_time_zone(namespace: Any, time_zone: str | None) -> Any:
    if time_zone is not None:
        _refuse_zone("replace_time_zone", time_zone)
    wanted = "timestamp_ntz" if time_zone is None else "timestamp_ltz"
    return namespace.compliant._with_elementwise(lambda value: value.cast(wanted))


def _refuse_zone(method: str, time_zone: str) -> None:
    if time_zone != "UTC":
        msg = f"dt.{method}: times with a zone are UTC on PYSPARK, not {time_zone!r}; use 'UTC', or POLARS for the node"
        raise StepError(msg)


# ---- lists -------------------------------------------------------------------------------------


def _list_sum(namespace: Any) -> Any:
    """In the type of the items, not in fractions; NULL among them counts as 0."""
    expr = namespace.compliant
    F, types = expr._F, expr._native_dtypes

    def total(value: Column, dtype: Any) -> Any:
        item: Any = getattr(dtype, "elementType", None)
        whole = _is_integer(item) or _kind(item) == "boolean"
        kind = types.LongType() if whole else types.DoubleType()
        if _kind(item) == "decimal":
            kind = types.DecimalType(38, item.scale)
        zero = F.lit(0).cast(kind)
        return F.aggregate(value, zero, lambda so_far, new: (so_far + F.coalesce(new.cast(kind), zero)).cast(kind))

    return _elementwise(expr, total)


def _filter(frame: Any, predicate: Any) -> Any:
    """NULL alone is a condition too."""
    [condition] = predicate(frame)
    if _kind(_types(frame, [condition])[0]) == "void":
        condition = condition.cast("boolean")
    return _narwhals_filter(frame, _made(predicate, lambda _: [condition], None))


_narwhals_filter = SparkLikeLazyFrame._filter

_MENDED: dict[Any, dict[str, Any]] = {
    SparkLikeLazyFrame: {"_filter": _filter},
    SparkLikeNamespace: {"_lit": _lit, "lit": _literal},
    SparkLikeExpr: {
        "__truediv__": _true_divided,
        "__rtruediv__": _true_divides,
        "__floordiv__": _floor_divided,
        "__rfloordiv__": _floor_divides,
        "__mod__": _modulo,
        "__rmod__": _modulo_of,
        "cast": _cast,
        "ceil": _ceil,
        "first": _ordered(last=False),
        "floor": _floor,
        "is_in": _is_in,
        "last": _ordered(last=True),
        "n_unique": _unique_count,
        "sum": _summed,
    },
    SparkLikeExprStringNamespace: {
        "contains": _contains,
        "replace_all": _replace_all,
        "split": _split,
        "strip_chars": _stripped("btrim"),
        "strip_chars_end": _stripped("rtrim"),
        "strip_chars_start": _stripped("ltrim"),
    },
    SparkLikeExprDateTimeNamespace: {
        "_weekday": _weekday,
        "convert_time_zone": _convert_time_zone,
        "microsecond": _fraction(1, 1),
        "millisecond": _fraction(1000, 1),
        "nanosecond": _fraction(1, 1000),
        "offset_by": _kept("offset_by"),
        "replace_time_zone": _replace_time_zone,
        "truncate": _kept("truncate"),
    },
    SparkLikeExprListNamespace: {"sum": _list_sum},
}
