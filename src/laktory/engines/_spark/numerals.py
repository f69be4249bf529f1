"""Fractions as text, as other engines write them."""

# ruff: noqa: N803 - F is what all of Spark's world calls its functions

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import Column

__all__ = ["float_text"]

_PLAIN = (-4, 15)
"""Exponents of numbers that are written without one."""


def float_text(F: Any, value: Column, dtype: Any, *, short: bool) -> Any:
    """The shortest text of a fraction: ``0.0001``, ``1.5e-5``, ``1e+16``, ``NaN``, ``inf``.

    Spark writes ``1.0E-4``; and Java 17 writes digits that are not needed.

    Parameters
    ----------
    F : functions of Spark
    short : the engine writes no digit that is not needed
    """
    if short:
        return _rewritten(F, F.lower(value.cast("string")))
    return _let(
        F, value, lambda number: _let(F, F.lower(_shortest(F, number, dtype)), lambda text: _rewritten(F, text))
    )


def _let(F: Any, value: Column, expression: Callable[[Column], Any]) -> Any:
    """An expression of a value that stands in it many times: the plan holds it, and computes it, once."""
    return F.transform(F.array(value), expression).getItem(0)


def _rewritten(F: Any, text: Column) -> Any:
    sign = F.when(text.startswith("-"), F.lit("-")).otherwise(F.lit(""))
    exponent = F.nullif(F.regexp_extract(text, "e([+-]?[0-9]+)$", 1), F.lit("")).cast("int")
    digits = F.regexp_replace(text, r"^-|\.0*($|e.*$)|e.*$|\.", "")
    length = F.length(digits)
    rest = F.when(length > F.lit(1), F.concat(F.lit("."), F.substr(digits, F.lit(2)))).otherwise(F.lit(""))
    mark = F.when(exponent < F.lit(0), F.lit("e")).otherwise(F.lit("e+"))
    scientific = F.concat(sign, F.substr(digits, F.lit(1), F.lit(1)), rest, mark, exponent.cast("string"))
    before = F.rpad(F.substr(digits, F.lit(1), exponent + 1), exponent + 1, F.lit("0"))
    after = F.when(length > exponent + 1, F.substr(digits, exponent + 2)).otherwise(F.lit("0"))
    large = F.concat(sign, before, F.lit("."), after)
    small = F.concat(sign, F.lit("0."), F.repeat(F.lit("0"), -exponent - 1), digits)
    return (
        F.when(text == F.lit("nan"), F.lit("NaN"))
        .when(text.contains("inf"), F.concat(sign, F.lit("inf")))
        .when(exponent.between(0, _PLAIN[1]), large)
        .when(exponent.between(_PLAIN[0], -1), small)
        .when(exponent.isNotNull(), scientific)
        .when(text.rlike(r"^-?0\.0000+[1-9]"), _with_exponent(F, text, sign))
        .otherwise(text)
    )


def _with_exponent(F: Any, text: Column, sign: Column) -> Any:
    """``0.00001``, as Sail writes it."""
    digits = F.regexp_replace(text, r"^-?0\.0000+", "")
    zeros = F.length(text) - F.length(digits) - F.length(sign) - F.lit(1)
    rest = F.when(F.length(digits) > F.lit(1), F.concat(F.lit("."), F.substr(digits, F.lit(2)))).otherwise(F.lit(""))
    return F.concat(sign, F.substr(digits, F.lit(1), F.lit(1)), rest, F.lit("e-"), zeros.cast("string"))


def _shortest(F: Any, value: Column, dtype: Any) -> Any:
    """The text that Spark has, or one of fewer digits that means the same number."""
    text = value.cast("string")
    sizes = (6, 7, 8) if dtype.typeName() == "float" else (15, 16)
    found = F.when(F.length(text) < F.lit(sizes[0]), text)
    for size in sizes:
        spelled = F.format_string(f"%.{size - 1}e", value)
        found = found.when(spelled.try_cast(dtype) == value, F.regexp_replace(spelled, "0+e", "e"))
    return found.otherwise(text)
