"""Methods of expressions that Narwhals gets wrong over a relation of DuckDB, done right.

`n_unique` and `null_count` of no rows are NULL there, which other engines count as 0; `dt.replace_time_zone` leaves a
time that has no zone without one. Expressions know no engine before they meet a frame: the classes that Narwhals makes
of them then are mended, once, when the engine is imported.
"""

# ruff: noqa: SLF001 - Narwhals has no public way to change what an expression becomes

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from duckdb import CoalesceOperator, ConstantExpression
from narwhals._duckdb.expr import DuckDBExpr
from narwhals._duckdb.expr_dt import DuckDBExprDateTimeNamespace

from laktory.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["mend"]


def mend() -> None:
    """Put right what this module lists. A second time changes nothing."""
    for name in ("n_unique", "null_count"):
        wrong = getattr(DuckDBExpr, name)
        if not hasattr(wrong, "__wrapped__"):
            setattr(DuckDBExpr, name, _or_zero(wrong))
    for name, method in (("convert_time_zone", _convert_time_zone), ("replace_time_zone", _replace_time_zone)):
        setattr(DuckDBExprDateTimeNamespace, name, method)


def _or_zero(count: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @wraps(count)
    def counted(expr: Any) -> Any:
        return count(expr)._with_elementwise(lambda value: CoalesceOperator(value, ConstantExpression(0)))

    return counted


def _convert_time_zone(namespace: Any, time_zone: str) -> Any:
    _refuse_zone("convert_time_zone", time_zone)
    return namespace.compliant


def _replace_time_zone(namespace: Any, time_zone: str | None) -> Any:
    if time_zone is not None:
        _refuse_zone("replace_time_zone", time_zone)
    expr = namespace.compliant

    def cast(df: Any, found: Sequence[Any]) -> Sequence[Any]:
        kinds = ("TIMESTAMP", "TIMESTAMP_NS") if time_zone is None else ("TIMESTAMPTZ", "TIMESTAMPTZ_NS")
        return [
            value.cast(kinds[dtype.id.endswith("_ns")])
            for value, dtype in zip(found, df.native.select(*found).types, strict=True)
        ]

    return expr.__class__(
        lambda df: cast(df, expr(df)),
        lambda df, inputs: cast(df, expr.window_function(df, inputs)),  # an aggregate beside columns
        evaluate_output_names=expr._evaluate_output_names,
        alias_output_names=expr._alias_output_names,
        version=expr._version,
    )


def _refuse_zone(method: str, time_zone: str) -> None:
    if time_zone != "UTC":
        msg = f"dt.{method}: times with a zone are UTC on DUCKDB, not {time_zone!r}; use 'UTC', or POLARS for the node"
        raise StepError(msg)
