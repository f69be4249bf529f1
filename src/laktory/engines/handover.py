"""Data held by Python or by another engine, handed over through Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

__all__ = ["in_memory"]


def in_memory(native: Any) -> pl.DataFrame:
    """A frame of any library, a mapping of columns or a list of rows as a Polars frame.

    Integers and fractions may stand in one column of a mapping.

    Raises
    ------
    TypeError
        A row is not a mapping, or the data is no frame.
    """
    import narwhals as nw
    import polars as pl

    if isinstance(native, pl.DataFrame):
        return native
    if isinstance(native, dict):
        numbers = all(
            isinstance(values, list) and {type(value) for value in values} <= {int, float, type(None)}
            for values in native.values()
        )
        return pl.DataFrame(native, strict=not numbers)
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
