"""What reading files has in common, whatever the engine: which files, their columns, CSV."""

from __future__ import annotations

import codecs
import errno
import gzip
import os
import stat
import zlib
from itertools import groupby
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from laktory.engines.errors import is_panic, os_reason
from laktory.engines.formats import COMPRESSION, list_files
from laktory.engines.inference import infer_csv
from laktory.engines.locate import Dialect, broken_csv_line, broken_text_line
from laktory.engines.schemas import check_declared, declared_schema, from_text
from laktory.errors import SourceError
from laktory.paths import local_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from laktory.engines.protocol import FileRead

__all__ = [
    "check_text",
    "checked_scan",
    "count_rows",
    "csv_header",
    "files_of",
    "no_rows",
    "scan_csv",
    "scan_file",
    "with_content",
]

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
_START = 65_536


def files_of(read: FileRead) -> tuple[str, ...]:
    """The files a read is about; of a Delta table, its folder.

    Raises
    ------
    SourceError
        Nothing is there, or nothing of the format, or something that is no file or may not be read.
    """
    if read.format == "DELTA":
        return (read.path,)
    files = tuple(read.files) if read.files is not None else list_files(read.path, read.format)
    for file in files:
        if local_path(file) is not None:
            _check_file(file)
    return files


def _check_file(file: str) -> None:
    """Readers wait for pipes, read devices without end, and have words of their own for the rest."""
    try:
        kind = os.stat(file).st_mode  # noqa: PTH116 - once for each file of a source
    except OSError as error:
        msg = f"{file!r} cannot be read: {error.strerror}"
        raise SourceError(msg) from error
    if not stat.S_ISREG(kind):
        msg = f"{file!r} is no file but a pipe, socket or device, which cannot be read"
        raise SourceError(msg)
    if not os.access(file, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        msg = f"{file!r} cannot be read: {os.strerror(errno.EACCES)}"
        raise SourceError(msg)
    if not file.isprintable() and any("\ud800" <= sign <= "\udfff" for sign in file):
        msg = f"{file!r}: the name of this file is no UTF-8 text; rename it"
        raise SourceError(msg)


def count_rows(read: FileRead) -> int:
    """Rows of files that keep types, as the files themselves tell. No engine works for it.

    Raises
    ------
    SourceError
        Missing, or cannot be read.
    """
    import polars as pl

    from laktory.engines.delta_tables import scan_delta

    if read.format == "DELTA":
        frames = [scan_delta(read.path, read.version, read.kwargs)]
    else:
        frames = [checked_scan(file, read.format) for file in files_of(read)]
    try:
        return sum(found.item() for found in pl.collect_all([frame.select(pl.len()) for frame in frames]))
    except (pl.exceptions.PolarsError, OSError) as error:
        msg = f"the rows of {read.path!r} cannot be counted"
        raise SourceError(msg) from error


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
    except BaseException as error:
        if not isinstance(error, (pl.exceptions.PolarsError, OSError)) and not is_panic(error):
            raise
        words = os_reason(error)
        if words not in {None, os.strerror(errno.EINVAL)}:
            msg = f"{file!r} cannot be read: {words}"
            raise SourceError(msg) from error
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

    check_text(files)
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
        There is none, or it is not what a header can be.
    """
    import polars as pl

    try:
        names = tuple(pl.scan_csv([file], glob=False, **options).collect_schema())
    except pl.exceptions.NoDataError as error:
        msg = f"{file!r} holds no line but blank ones, so there are no columns"
        raise SourceError(msg) from error
    except pl.exceptions.DuplicateError as error:
        msg = f"{file!r}: a name stands several times in its header, and also as the reader would tell them apart"
        raise SourceError(f"{msg}; give each column a name of its own") from error
    if any("\0" in name for name in names):
        msg = f"{file!r}: its header holds the character NUL; save it as UTF-8 text"
        raise SourceError(msg)
    # the reader replaces here what it refuses in rows, and ends an open quote at the end of the file
    if any("\ufffd" in name for name in names) and (place := broken_text_line([file])):
        raise SourceError(place)
    if any("\n" in name for name in names):
        dialect = Dialect.of(options)
        place = broken_csv_line([file], Dialect(dialect.separator, dialect.quote, dialect.comment, dialect.skip))
        if place and "is not closed" in place:
            raise SourceError(place)
    return names


def check_text(files: Sequence[str]) -> None:
    """Refuse text that readers take for other text: of two bytes per character, with lines that end in CR alone,
    or compressed in another way than its name says.

    Raises
    ------
    SourceError
        Names the file.
    """
    for file in files:
        if local_path(file) is None:
            continue
        named = COMPRESSION.get(PurePath(file).suffix.lower())
        with Path(file).open("rb") as opened:
            start = opened.read(_START)
        found = next((kind for kind, magic in _MAGIC.items() if start.startswith(magic)), None)
        if start and found != named:
            said = f"is compressed with {found}" if found else f"is not compressed with {named}"
            msg = f"{file!r} {said}, which its name does not say; names end in .gz (gzip), .zst (zstd) or neither"
            raise SourceError(msg if found else msg.replace("does not say", "says"))
        if found == "gzip":
            start = _unpacked(file)
        if start[:2] in _UTF16:
            msg = f"{file!r} is UTF-16 text; save it as UTF-8"
            raise SourceError(msg)
        if b"\r" in start and b"\n" not in start and b"\r\n" not in start:
            msg = f"{file!r}: its lines end in CR alone; save it with LF, or CR and LF"
            raise SourceError(msg)


def _unpacked(file: str) -> bytes:
    """The start of a compressed file; nothing if it is broken, which its reader says."""
    try:
        with gzip.open(file) as opened:
            return opened.read(_START)
    except (OSError, EOFError, zlib.error):
        return b""


def _unescaped(name: str, quote: str | None) -> str:
    return name.replace(quote * 2, quote) if quote else name


def _csv_type(name: str, dtype: pl.DataType) -> pl.DataType:
    """What the reader is told to read for a declared type."""
    import polars as pl

    if isinstance(dtype, (pl.Binary, pl.Duration, pl.List, pl.Struct, pl.Array, pl.Object)):
        msg = f"column {name!r}: CSV has no form of the type {dtype}, which 'schema' declares"
        raise SourceError(msg)
    # its reader of decimals would cut digits, that of days would guess which number is the month
    return pl.String() if dtype.is_decimal() or dtype.is_temporal() else dtype


def _size(file: str) -> int:
    try:
        return Path(file).stat().st_size
    except OSError as error:
        msg = f"{file!r} cannot be read: {error.strerror}"
        raise SourceError(msg) from error
