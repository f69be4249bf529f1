"""``nw.col(…).laktory``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laktory.errors import ExpressionError

if TYPE_CHECKING:
    import narwhals as nw

__all__ = ["LaktoryExpr"]


class LaktoryExpr:
    """Methods of expressions."""

    def __init__(self, expr: nw.Expr) -> None:
        self._expr = expr

    def roundp(self, p: float = 1.0) -> nw.Expr:
        """Round to the nearest multiple of `p`, as Float64; halves go away from zero.

        Raises
        ------
        ExpressionError
            If `p` is not a positive number.
        """
        if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 < p < float("inf"):
            msg = f"roundp: p must be a positive number, found {p!r}"
            raise ExpressionError(msg)
        from laktory.expressions.sql_build import floating, rounded

        return rounded(floating(self._expr) / p, 0) * p

    def convert_units(self, input_unit: str, output_unit: str) -> nw.Expr:
        """Convert from one unit to another, e.g. ``convert_units("C", "F")``; needs the package `planck`.

        Raises
        ------
        ExpressionError
            If a unit is unknown, or the two do not measure the same thing.
        MissingDependencyError
            If `planck` is not installed.
        """
        from laktory.narwhals_ext.units import affine

        factor, offset = affine(input_unit, output_unit)
        return self._expr * factor + offset if offset else self._expr * factor
