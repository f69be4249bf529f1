"""What cells of a sheet hold. Anything else would come back as another value, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laktory.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

__all__ = ["refuse_cells"]

_MAX_ROWS = 1_048_575
_MAX_COLUMNS = 16_384
_MAX_TEXT = 32_767
_MAX_DIGITS = 15
_MAX_NUMBER = 9.99999999999999e307
_FIRST_DAY = (1900, 3, 1)


def refuse_cells(frame: pl.DataFrame, path: str) -> None:
    """Refuse values that a sheet cannot hold, before it is written. An empty text is the exception: it becomes NULL.

    Raises
    ------
    SinkError
        Names the column and a value.
    """
    import polars as pl

    for what, found, most in (("rows", frame.height, _MAX_ROWS), ("columns", frame.width, _MAX_COLUMNS)):
        if found > most:
            msg = f"{path!r}: EXCEL holds at most {most:,} {what}, not {found:,}"
            raise SinkError(msg)
    if frame.height and all(value in (None, "") for value in frame.row(-1)):
        msg = f"{path!r}: EXCEL cannot hold a last row of NULLs, in columns {', '.join(map(repr, frame.columns[:5]))}"
        raise SinkError(f"{msg}; sort or filter such rows")
    for name, dtype in frame.schema.items():
        for unheld, words in _limits(pl.col(name), dtype):
            # the first one stands for all
            values = frame.lazy().filter(unheld).select(name).head(1).collect()
            if values.height:
                shown = str(values.item())
                shown = shown if len(shown) <= 40 else f"{shown[:40]}…"
                msg = f"{path!r}: EXCEL cannot hold {shown!r} of column {name!r}: {words}"
                raise SinkError(msg)


def _limits(column: pl.Expr, dtype: pl.DataType) -> Iterator[tuple[pl.Expr, str]]:
    import polars as pl

    if dtype.is_integer() and dtype not in {pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32}:
        limit = pl.lit(2**53)
        unheld = column > limit if dtype.is_unsigned_integer() else (column > limit) | (column < -limit)
        yield unheld, "integers up to 2^53 are exact; cast it to text"
    if dtype.is_float():
        yield column.is_nan() | (column.abs() > _MAX_NUMBER), "it is no number of a sheet; replace it"
    if isinstance(dtype, pl.Decimal):
        # neither zeros before the first digit nor those after the last one are digits of a number
        plain = column.cast(pl.String).str.replace_all(r"[-.]", "").str.strip_chars_start("0")
        yield plain.str.strip_chars_end("0").str.len_bytes() > _MAX_DIGITS, "numbers have 15 digits; cast it to text"
    if isinstance(dtype, (pl.String, pl.Categorical, pl.Enum)):
        yield column.cast(pl.String).str.len_chars() > _MAX_TEXT, f"a cell holds {_MAX_TEXT:,} characters"
    if isinstance(dtype, (pl.Date, pl.Datetime)):
        yield column < pl.datetime(*_FIRST_DAY).cast(dtype), "its days begin with 1900-03-01; cast it to text"
    if isinstance(dtype, pl.Datetime) and dtype.time_unit != "ms":
        parts = {"us": 1_000, "ns": 1_000_000}[dtype.time_unit]
        yield column.to_physical() % parts != 0, "its times have milliseconds; truncate it, or cast it to text"
