"""What cells of a sheet hold. Anything else would come back as another value, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laktory.errors import SinkError, SourceError
from laktory.optional import require

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import polars as pl

__all__ = ["refuse_cells", "refuse_errors"]

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
    names: dict[str, str] = {}
    for name in frame.columns:
        if not name or (other := names.setdefault(name.casefold(), name)) != name:
            said = f"the names {other!r} and {name!r}, which differ only by case" if name else "a column without a name"
            msg = f"{path!r}: EXCEL cannot hold {said}; rename one"
            raise SinkError(msg if name else msg.replace("one", "it"))
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


def refuse_errors(file: str, kwargs: Mapping[str, Any]) -> None:
    """Refuse a sheet with errors in the place of values (``#DIV/0!``), which its reader gives as NULL.

    Parameters
    ----------
    kwargs : what the sheet was read with, as `polars.read_excel` takes it

    Raises
    ------
    SourceError
        Names the cell.
    """
    if not kwargs.keys() <= {"has_header", "infer_schema_length", "drop_empty_rows", "sheet_name", "sheet_id"}:
        return
    workbook = require("fastexcel", "reading EXCEL").read_excel(file)
    sheet = kwargs.get("sheet_name") or (kwargs.get("sheet_id") or 1) - 1
    header = 0 if kwargs.get("has_header", True) else None
    _, errors = workbook.load_sheet(sheet, header_row=header, dtypes="string").to_arrow_with_errors()
    for error in errors.errors if errors is not None else ():
        if "Error(" in error.detail:
            row, column = error.position
            msg = f"{file!r}: the cell in row {row + 1}, column {column + 1} holds an error; mend its formula"
            raise SourceError(msg)


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
