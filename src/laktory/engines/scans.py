"""What reading files has in common, whatever the engine: which files, their columns, CSV."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laktory.engines.errors import is_panic, reason
from laktory.engines.formats import list_files
from laktory.engines.inference import infer_csv
from laktory.engines.schemas import check_declared, declared_schema, from_text
from laktory.errors import SourceError
from laktory.paths import local_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from laktory.engines.protocol import FileRead

__all__ = [
    "checked_scan",
    "csv_header",
    "files_of",
    "no_rows",
    "refuse_utf16",
    "scan_csv",
    "scan_file",
    "with_content",
]

_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def files_of(read: FileRead) -> tuple[str, ...]:
    """The files a read is about; of a Delta table, its folder.

    Raises
    ------
    SourceError
        Nothing is there, or nothing of the format.
    """
    if read.format == "DELTA":
        return (read.path,)
    return tuple(read.files) if read.files is not None else list_files(read.path, read.format)


def with_content(files: Sequence[str]) -> tuple[str, ...]:
    """The files that are not empty.

    Raises
    ------
    SourceError
        One cannot be read.
    """
    return tuple(file for file in files if local_path(file) is None or _size(file))


def no_rows(read: FileRead) -> pl.LazyFrame:
    """What is read from empty files: the declared columns.

    Raises
    ------
    SourceError
        None are declared.
    """
    import polars as pl

    declared = declared_schema(read)
    if declared is None:
        msg = f"{read.path!r} is empty, so there are no columns; declare them in 'schema'"
        raise SourceError(msg)
    return pl.LazyFrame(schema=declared)


def checked_scan(file: str, format: str) -> pl.LazyFrame:  # noqa: A002 - the field's name
    """One PARQUET or IPC file whose columns are known.

    Raises
    ------
    SourceError
        It cannot be read, or is none.
    """
    import polars as pl

    if not _size(file):
        msg = f"{file!r} is empty, it is no {format} file"
        raise SourceError(msg)
    try:
        frame = scan_file(file, format)
        frame.collect_schema()
    except OSError as error:
        msg = f"{file!r} cannot be read: {reason(error)}"
        raise SourceError(msg) from error
    except BaseException as error:
        if not isinstance(error, pl.exceptions.PolarsError) and not is_panic(error):
            raise
        msg = f"{file!r} is no {format} file, or is cut short or damaged"
        raise SourceError(msg) from error
    return frame


def scan_file(file: str, format: str) -> pl.LazyFrame:  # noqa: A002
    """One PARQUET or IPC file, and nothing of the names of its folders."""
    import polars as pl

    scan = pl.scan_parquet if format == "PARQUET" else pl.scan_ipc
    return scan([file], glob=False, hive_partitioning=False)


def scan_csv(read: FileRead, files: Sequence[str], options: Mapping[str, Any]) -> pl.LazyFrame:
    """CSV files that are not empty, united by name: text, or the types found in all of it, or those of `schema`.

    Parameters
    ----------
    options : of `polars.scan_csv`, ``has_header`` among them

    Raises
    ------
    SourceError
        A file is no UTF-8, or has not the declared columns.
    """
    import narwhals as nw
    import polars as pl

    quote = options.get("quote_char", '"')

    def scan(types: Mapping[str, Any]) -> pl.LazyFrame:
        parts = []
        for names, group in groups:
            # the reader leaves a quote inside a quoted name doubled
            plain = {name: _unescaped(name, quote) for name in names}
            given = {name: types[new] for name, new in plain.items() if new in types}
            part = pl.scan_csv(group, glob=False, **{**options, "schema_overrides": given})
            renamed = {name: new for name, new in plain.items() if name != new}
            parts.append(part.rename(renamed) if renamed else part)
        return parts[0] if len(parts) == 1 else pl.concat(parts, how="diagonal")

    refuse_utf16(files)
    headers = {file: csv_header(file, options) for file in files}
    groups = [(names, list(group)) for names, group in groupby(files, headers.__getitem__)]
    declared = declared_schema(read)
    if declared is None:
        return scan(infer_csv(nw.from_native(scan({}))).to_polars() if read.infer_schema else {})
    names = dict(zip(declared, declared, strict=True))
    if not options["has_header"]:
        first = headers[files[0]]
        if len(first) != len(declared):
            msg = f"{files[0]!r} has {len(first)} columns, but 'schema' declares {len(declared)}"
            raise SourceError(msg)
        names = dict(zip(first, declared, strict=True))
    for file, header in headers.items():
        found = dict.fromkeys((_unescaped(name, quote) for name in header), pl.Null())
        check_declared(found, dict.fromkeys(names, pl.Null()), file)
    types = {found: _csv_type(name, declared[name]) for found, name in names.items()}
    columns = {
        name: from_text(pl.col(found), declared[name]) if types[found] != declared[name] else pl.col(found)
        for found, name in names.items()
    }
    return scan(types).select(column.alias(name) for name, column in columns.items())


def csv_header(file: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Names in the header of a CSV file, as the reader gives them.

    Raises
    ------
    SourceError
        They hold a NUL.
    """
    import polars as pl

    names = tuple(pl.scan_csv([file], glob=False, **options).collect_schema())
    if any("\0" in name for name in names):
        msg = f"{file!r}: its header holds the character NUL; save it as UTF-8 text"
        raise SourceError(msg)
    return names


def refuse_utf16(files: Sequence[str]) -> None:
    """Refuse text of two bytes per character, which readers take for other text.

    Raises
    ------
    SourceError
        Names the file.
    """
    for file in files:
        if local_path(file) is not None:
            with Path(file).open("rb") as opened:
                if opened.read(2) in _UTF16:
                    msg = f"{file!r} is UTF-16 text; save it as UTF-8"
                    raise SourceError(msg)


def _unescaped(name: str, quote: str | None) -> str:
    return name.replace(quote * 2, quote) if quote else name


def _csv_type(name: str, dtype: pl.DataType) -> pl.DataType:
    """What the reader is told to read for a declared type."""
    import polars as pl

    if isinstance(dtype, (pl.Binary, pl.Duration, pl.List, pl.Struct, pl.Array, pl.Object)):
        msg = f"column {name!r}: CSV has no form of the type {dtype}, which 'schema' declares"
        raise SourceError(msg)
    # its reader of decimals would cut digits
    return pl.String() if dtype.is_decimal() else dtype


def _size(file: str) -> int:
    try:
        return Path(file).stat().st_size
    except OSError as error:
        msg = f"{file!r} cannot be read: {error.strerror}"
        raise SourceError(msg) from error
