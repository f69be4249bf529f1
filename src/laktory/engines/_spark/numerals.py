"""Fractions as text, as other engines write them."""

# ruff: noqa: N803 - F is what all of Spark's world calls its functions

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import Column

__all__ = ["float_text"]

_PLAIN = (-4, 15)
"""Exponents of numbers that are written without one."""


def float_text(F: Any, value: Column, dtype: Any, *, short: bool) -> Any:
    """The shortest text of a fraction: ``0.0001``, ``1.5e-5``, ``1e+16``, ``NaN``, ``inf``.

    Parameters
    ----------
    F : functions of Spark
    short : the engine writes no digit that is not needed

    Spark writes ``1.0E-4``; and Java 17 writes digits that are not needed.
    """
    text = F.lower(value.cast("string") if short else _shortest(F, value, dtype))
    sign = F.when(text.startswith("-"), F.lit("-")).otherwise(F.lit(""))
    exponent = F.regexp_extract(text, "e([+-]?[0-9]+)$", 1)
    point = F.when(exponent != F.lit(""), F.nullif(exponent, F.lit("")).cast("int"))
    plain = F.regexp_replace(F.regexp_replace(text, "^-", ""), "e.*$", "")
    digits = F.regexp_replace(F.regexp_replace(plain, r"\.0*$", ""), r"\.", "")
    length = F.length(digits)
    rest = F.when(length > F.lit(1), F.concat(F.lit("."), F.substr(digits, F.lit(2)))).otherwise(F.lit(""))
    signed = F.when(point < F.lit(0), F.lit("e")).otherwise(F.lit("e+"))
    scientific = F.concat(sign, F.substr(digits, F.lit(1), F.lit(1)), rest, signed, point.cast("string"))
    before = F.rpad(F.substr(digits, F.lit(1), point + 1), point + 1, F.lit("0"))
    after = F.when(length > point + 1, F.substr(digits, point + 2)).otherwise(F.lit("0"))
    large = F.concat(sign, before, F.lit("."), after)
    small = F.concat(sign, F.lit("0."), F.repeat(F.lit("0"), -point - 1), digits)
    told = (
        F.when(point.isNull(), text)
        .when(point.between(0, _PLAIN[1]), large)
        .when(point.between(_PLAIN[0], -1), small)
        .otherwise(scientific)
    )
    return (
        F.when(F.isnan(value), F.lit("NaN"))
        .when(F.abs(value) == F.lit(float("inf")), F.concat(sign, F.lit("inf")))
        .otherwise(_without_zeros(F, told))
    )


def _without_zeros(F: Any, text: Column) -> Any:
    """``0.00001``, as Sail writes it, with an exponent."""
    digits = F.regexp_replace(text, r"^-?0\.0000+", "")
    sign = F.when(text.startswith("-"), F.lit("-")).otherwise(F.lit(""))
    zeros = F.length(text) - F.length(digits) - F.length(sign) - F.lit(1)
    rest = F.when(F.length(digits) > F.lit(1), F.concat(F.lit("."), F.substr(digits, F.lit(2)))).otherwise(F.lit(""))
    spelled = F.concat(sign, F.substr(digits, F.lit(1), F.lit(1)), rest, F.lit("e-"), zeros.cast("string"))
    return F.when(text.rlike(r"^-?0\.0000+[1-9]"), spelled).otherwise(text)


def _shortest(F: Any, value: Column, dtype: Any) -> Any:
    """The text that Spark has, or one of fewer digits that means the same number."""
    text = value.cast("string")
    sizes = (6, 7, 8) if dtype.typeName() == "float" else (15, 16)
    found = F.when(F.length(text) < F.lit(sizes[0]), text)
    for size in sizes:
        spelled = F.format_string(f"%.{size - 1}e", value)
        found = found.when(spelled.try_cast(dtype) == value, F.regexp_replace(spelled, "0+e", "e"))
    return found.otherwise(text)
