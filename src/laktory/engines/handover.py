"""Data held by Python or by another engine, handed over through Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laktory.engines.errors import is_panic

if TYPE_CHECKING:
    import polars as pl

__all__ = ["in_memory"]


def in_memory(native: Any) -> pl.DataFrame:
    """A frame of any library, a mapping of columns or a list of rows as a Polars frame.

    Integers and fractions may stand in one column of a mapping.

    Raises
    ------
    TypeError
        A row is not a mapping, the data is no frame, or a column has a type that Polars has not.
    """
    try:
        return _as_polars(native)
    except BaseException as error:
        if not is_panic(error):
            raise
        msg = "a column has a type that cannot be handed over; cast it"
        raise TypeError(msg) from error


def _as_polars(native: Any) -> pl.DataFrame:
    import narwhals as nw
    import polars as pl

    if isinstance(native, pl.DataFrame):
        return native
    if isinstance(native, dict):
        return pl.DataFrame(
            {
                name: pl.Series(name, values, strict=False) if _are_numbers(values) else values
                for name, values in native.items()
            }
        )
    if isinstance(native, list):
        for index, row in enumerate(native):
            if not isinstance(row, dict):
                msg = f"row {index} is {type(row).__name__!r}, not a mapping of columns to values"
                raise TypeError(msg)
        return pl.DataFrame(native, infer_schema_length=None)
    if hasattr(native, "__arrow_c_stream__"):
        return pl.DataFrame(native)
    lazy = nw.from_native(native)
    eager = lazy.collect(backend="polars") if isinstance(lazy, nw.LazyFrame) else lazy
    return eager.to_polars()


def _are_numbers(values: Any) -> bool:
    """Integers and fractions, none of which is changed by having one type."""
    if not isinstance(values, list) or not {type(value) for value in values} <= {int, float, type(None)}:
        return False
    return not any(isinstance(value, int) and abs(value) > 2**53 for value in values)
