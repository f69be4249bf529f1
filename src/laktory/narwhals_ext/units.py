"""Conversion of units, by `planck`, whose unit names (``m2``, ``NM``, ``kt``) are those of existing definitions."""

from __future__ import annotations

from functools import lru_cache

from laktory.diagnostics import closest
from laktory.errors import ExpressionError
from laktory.optional import require

__all__ = ["affine"]


@lru_cache(maxsize=256)
def affine(input_unit: str, output_unit: str) -> tuple[float, float]:
    """Factor and offset with ``output = input * factor + offset``.

    Raises
    ------
    ExpressionError
        If a unit is unknown, or the two do not measure the same thing.
    MissingDependencyError
        If `planck` is not installed.
    """
    units = require("planck", "convert_units").units
    try:
        offset = float(units.convert(0.0, input_unit, output_unit))
        one = float(units.convert(1.0, input_unit, output_unit))
    except (KeyError, NotImplementedError) as error:
        names = [*units, "C", "K", "F", "celsius", "kelvin", "fahrenheit", "rankine"]
        unknown = next((unit for unit in (input_unit, output_unit) if unit not in names), None)
        if unknown is None:
            msg = f"convert_units: {input_unit!r} cannot be converted to {output_unit!r}"
            raise ExpressionError(msg) from error
        hint = closest(unknown, names)
        msg = f"convert_units: {unknown!r} is not a unit" + (f"; {hint}" if hint else "")
        raise ExpressionError(msg) from error
    return one - offset, offset
