"""Formats no engine reads or writes by itself: a library moves the rows, engines take them over Arrow."""

from __future__ import annotations

import codecs
import gzip
import inspect
import io
import json
import os
import shutil
from functools import cache, partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NoReturn

from laktory.engines.errors import conversion_fault, reason
from laktory.engines.excel import refuse_cells, refuse_errors
from laktory.engines.formats import COMPRESSION, compression_of
from laktory.engines.hive import key_types, keys_of, refuse_conflicts, value_of
from laktory.engines.inference import JsonType, RoundedError
from laktory.engines.json_text import elements
from laktory.engines.locate import broken_text_line
from laktory.engines.scans import check_text, checked_scan
from laktory.engines.schemas import declared_schema, fit, from_text, unite_schemas
from laktory.errors import SinkError, SourceError
from laktory.optional import require
from laktory.storage.files import os_number

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    import polars as pl
    from polars.datatypes import DataTypeClass

    from laktory.engines.protocol import FileRead

__all__ = [
    "check_documents",
    "first_line",
    "join_json",
    "parameters",
    "parse_json_lines",
    "read_files",
    "reader_arguments",
    "wrap_json_lines",
    "write_file",
    "writer_arguments",
]

_BLOCK = 1 << 20
_WITH_KEYS = frozenset({"IPC", "PYARROW"})


def read_files(read: FileRead, files: Sequence[str]) -> pl.LazyFrame:
    """Read JSON, AVRO, ORC, EXCEL, TEXT, PYARROW or IPC files as one polars frame, in file order.

    Columns are united by name. `schema`, `rows` and `methods` of the read are left to the caller, except that
    JSON is parsed straight into the declared `schema`.

    Raises
    ------
    SourceError
        A file is not what its format says, or an argument is unknown.
    MissingDependencyError
        The library of the format is not installed.
    """
    import polars as pl

    if read.format in {"JSON", "TEXT"}:
        check_text(files)
    if read.format == "JSON":
        return _read_json(files, declared_schema(read))
    reader = _READERS[read.format]
    frames = []
    for file in files:
        try:
            frames.append(reader(file, read))
        except SourceError:
            raise
        except Exception as error:  # noqa: BLE001 - each format has a library with its own exceptions
            _raise_unreadable(file, read.format, error)
    if read.format in _WITH_KEYS:
        frames = _with_keys(read, files, frames)
    if len(frames) == 1:
        return frames[0]
    united = unite_schemas(files, [frame.collect_schema() for frame in frames])
    return pl.concat([fit(frame, united) for frame in frames])


def _with_keys(read: FileRead, files: Sequence[str], frames: Sequence[pl.LazyFrame]) -> list[pl.LazyFrame]:
    """The frames with the columns that the names of their folders hold."""
    import polars as pl

    keys = keys_of(read, files)
    by_file = dict(zip(files, frames, strict=True))
    schemas = {file: frame.collect_schema() for file, frame in by_file.items()}
    refuse_conflicts(keys, schemas, by_file.__getitem__)
    declared: Mapping[str, Any] = declared_schema(read) or {}
    types = {
        name: declared.get(name, dtype) for name, dtype in key_types(keys).items() if name not in schemas[files[0]]
    }
    return [
        frame.with_columns(
            pl.lit(value_of(keys[file][name], dtype), dtype).alias(name) for name, dtype in types.items()
        )
        for file, frame in by_file.items()
    ]


def write_file(frame: pl.DataFrame, path: str, format: str, kwargs: Mapping[str, Any]) -> None:  # noqa: A002
    """Write an AVRO or EXCEL file. Types were checked with `formats.refuse_types`.

    Raises
    ------
    SinkError
        The frame does not fit, or an argument is unknown.
    MissingDependencyError
        The library of the format is not installed.
    """
    import polars as pl

    writer: Callable[..., Any] = partial(_write_excel, frame)
    if format == "EXCEL":
        refuse_cells(frame, path)
    if format == "AVRO":
        # Avro knows 32 and 64 bits only
        small = (pl.Int8, pl.Int16, pl.UInt8, pl.UInt16)
        widths: dict[Any, Any] = {pl.UInt32: pl.Int64, **dict.fromkeys(small, pl.Int32)}
        writer = frame.cast(widths).write_avro
    # through memory: the libraries hide what goes wrong with a file, and want it to end like a workbook
    buffer = io.BytesIO()
    try:
        writer(buffer, **kwargs)
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        msg = f"{path!r}: cannot be written as {format}: {reason(error)}"
        raise SinkError(msg) from error
    except Exception as error:
        if (number := os_number(error)) is None:
            raise
        raise OSError(number, os.strerror(number)) from error  # one with a class of its own
    Path(path).write_bytes(buffer.getbuffer())


def wrap_json_lines(lines: str, path: str) -> None:
    """Make one JSON list of a file of JSON lines, without holding it in memory; compressed if `path` says so."""
    separator = b"[\n"
    create: Callable[[str, str], Any] = gzip.open if compression_of(path, "JSON") else open
    with Path(lines).open("rb") as source, create(path, "wb") as target:
        for line in source:
            target.write(separator + line.rstrip(b"\n"))
            separator = b",\n"
        target.write(b"\n]\n" if separator == b",\n" else b"[]\n")


def _write_excel(frame: pl.DataFrame, buffer: io.BytesIO, **kwargs: Any) -> None:
    """As `polars.DataFrame.write_excel` does, but for temporary files, which a killed process would leave for good."""
    workbook = require("xlsxwriter", "writing EXCEL").Workbook
    options = {
        "in_memory": True,
        "use_zip64": kwargs.pop("use_zip64", False),
        "nan_inf_to_errors": True,
        "strings_to_formulas": False,
        "default_date_format": "yyyy-mm-dd;@",
    }
    book = workbook(buffer, options)
    frame.write_excel(book, **kwargs)
    book.close()


def join_json(old: str, new: str) -> None:
    """Put the elements of a document that holds some before those of a list, into the file of the list.

    The document is kept to the letter, but for blanks at its ends.
    """
    whole = Path(f"{new}.whole")
    with whole.open("w+b") as out, Path(old).open("rb") as first, Path(new).open("rb") as rest:
        head = first.read(_BLOCK).removeprefix(codecs.BOM_UTF8).lstrip()
        is_list = head.startswith(b"[")
        out.write(head if is_list else b"[\n" + head)
        shutil.copyfileobj(first, out, _BLOCK)
        end = out.tell()
        while end:
            end -= 1
            out.seek(end)
            if not (sign := out.read(1)).isspace():
                break
        out.seek(end if is_list and sign == b"]" else end + 1)
        out.truncate()
        tail = rest.read(_BLOCK).lstrip().removeprefix(b"[").lstrip()
        out.write(b"\n" if tail.startswith(b"]") else b",\n")
        out.write(tail)
        shutil.copyfileobj(rest, out, _BLOCK)
    whole.replace(new)


def reader_arguments(format: str) -> Collection[str]:  # noqa: A002
    """Keyword arguments of the reader of a format that `read_files` reads."""
    import polars as pl

    if format in ("JSON", "TEXT"):
        return []
    if format == "PYARROW":
        return parameters(require("pyarrow.dataset", "reading PYARROW").dataset)
    if format == "ORC":
        return parameters(require("pyarrow.orc", "reading ORC").read_table)
    readers: dict[str, Callable[..., Any]] = {"AVRO": pl.read_avro, "EXCEL": pl.read_excel, "IPC": pl.scan_ipc}
    return parameters(readers[format])


def writer_arguments(format: str) -> Sequence[str]:  # noqa: A002
    """Keyword arguments of the writer of an AVRO or EXCEL file."""
    import polars as pl

    if format == "EXCEL":
        require("xlsxwriter", "writing EXCEL")
    return parameters(pl.DataFrame.write_excel if format == "EXCEL" else pl.DataFrame.write_avro)[1:]


@cache
def parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """Public parameters behind the first one, which is what is read, or the frame. Globs are Laktory's business."""
    names = list(inspect.signature(function).parameters)[1:]
    return tuple(name for name in names if not name.startswith("_") and name != "glob")


def _read_json(files: Sequence[str], schema: pl.Schema | None) -> pl.LazyFrame:
    import polars as pl

    seen = JsonType({"object"})
    texts = []
    # rows go on as text: their Python values, held for all files, are many times as large
    for file in files:
        lines = []
        for number, (line, row) in enumerate(_json_rows(file), 1):
            if not isinstance(row, dict):
                msg = f"{file!r}: element {number} is no object, so it is no row"
                raise SourceError(msg)
            lines.append(line)
            seen.add(row)
        texts.append("\n".join(lines).encode())
    if schema is None:
        try:
            schema = seen.columns()
        except RoundedError as error:
            wide = str(error.value)
            _raise_element(files, str(error), lambda line: wide in line)
        if not schema:
            msg = f"{', '.join(map(repr, files[:3]))}: holds no row, so there are no columns; declare them in 'schema'"
            raise SourceError(msg)
    declared = pl.Struct(schema)
    if fault := seen.fault(declared, ""):
        _raise_element(files, fault, lambda line: JsonType.of(json.loads(line)).fault(declared, "") is not None)
    frames = []
    for index, file in enumerate(files):
        text, texts[index] = texts[index], b""
        try:
            frames.append(parse_json_lines(io.BytesIO(text), schema).collect() if text else pl.DataFrame(schema=schema))
        except Exception as error:
            msg = f"{file!r}: {conversion_fault(error) or f'does not fit its schema: {reason(error)}'}"
            raise SourceError(msg) from error
    return pl.concat(frames).lazy()


def first_line(file: str) -> bytes:
    """The first line of a text file, which may be compressed."""
    import polars as pl

    if file.endswith(".zst"):
        lines = pl.scan_lines([file], glob=False).head(1).collect().to_series().to_list()
        return lines[0].encode() if lines else b""
    create: Callable[[str, str], Any] = gzip.open if file.endswith(".gz") else open
    with create(file, "rb") as opened:
        line: bytes = opened.readline()
    return line.rstrip(b"\r\n")


def check_documents(files: Iterable[str]) -> None:
    """Whether each file is one JSON document: an object, or a list of them.

    Raises
    ------
    SourceError
        Names the file and what is wrong.
    """
    for file in files:
        for _ in _json_rows(file):
            pass


def _raise_element(files: Sequence[str], said: str, faulty: Callable[[str], bool]) -> NoReturn:
    for file in files:
        for number, (line, _) in enumerate(_json_rows(file), 1):
            if faulty(line):
                msg = f"{file!r} element {number}: {said}"
                raise SourceError(msg)
    msg = f"{files[0]!r}: {said}"
    raise SourceError(msg)


def _json_rows(file: str) -> Iterator[tuple[str, Any]]:
    import polars as pl

    try:
        text = _text_of(file)
    except UnicodeDecodeError as error:
        msg = broken_text_line([file]) or f"{file!r} is not UTF-8 text"
        raise SourceError(msg) from error
    except (OSError, pl.exceptions.PolarsError) as error:
        _raise_unreadable(file, "JSON", error)
    if not text.strip():
        return
    if text.lstrip()[0] not in "[{":
        msg = f"{file!r} holds neither an object nor a list of objects"
        raise SourceError(msg)
    try:
        yield from elements(text)
    except json.JSONDecodeError as error:
        hint = "; one object per line is the format JSONL" if error.msg == "Extra data" else ""
        said = f"{error.msg.removesuffix(' at')} at column {error.colno}{hint}"
        msg = f"{file!r} line {error.lineno}: not valid JSON, {said}"
        raise SourceError(msg) from error
    except RecursionError as error:
        msg = f"{file!r} is nested too deeply"
        raise SourceError(msg) from error


def _text_of(file: str) -> str:
    import polars as pl

    if PurePath(file).suffix.lower() in COMPRESSION:
        lines = pl.scan_lines([file], glob=False).collect().to_series()
        return "\n".join(lines).removeprefix("\ufeff")
    return Path(file).read_text(encoding="utf-8-sig")


def parse_json_lines(source: Any, schema: Mapping[str, pl.DataType], **kwargs: Any) -> pl.LazyFrame:
    """`pl.scan_ndjson` that also parses into types its reader lacks (small integers, decimals, times).

    Raises
    ------
    SourceError
        A type has no JSON form.
    """
    import polars as pl

    parsed = {name: _parsed_as(dtype, name, top=True) for name, dtype in schema.items()}
    frame = pl.scan_ndjson(source, schema=parsed, **kwargs)
    casts = {name: dtype for name, dtype in schema.items() if parsed[name] != dtype}
    return frame.with_columns(from_text(pl.col(name), dtype).alias(name) for name, dtype in casts.items())


def _parsed_as(dtype: pl.DataType | DataTypeClass, where: str, *, top: bool = False) -> pl.DataType | DataTypeClass:
    import polars as pl

    if isinstance(dtype, pl.Struct):
        return pl.Struct({field.name: _parsed_as(field.dtype, f"{where}.{field.name}") for field in dtype.fields})
    if isinstance(dtype, (pl.List, pl.Array)):
        return pl.List(_parsed_as(dtype.inner, f"{where}[]"))
    if dtype.is_integer() and dtype != pl.Int64:
        return pl.Int128() if dtype in {pl.Int128, pl.UInt64, pl.UInt128} else pl.Int64()
    if isinstance(dtype, (pl.Decimal, pl.Categorical, pl.Enum, pl.Date, pl.Datetime)) or (dtype == pl.Time and top):
        return pl.String()
    if isinstance(dtype, (pl.Binary, pl.Duration, pl.Object, pl.Time)):
        msg = f"column {where!r}: JSON has no form of the type {dtype}"
        raise SourceError(msg)
    return dtype


def _read_avro(file: str, read: FileRead) -> pl.LazyFrame:
    import polars as pl

    frame: pl.DataFrame = _call(pl.read_avro, file, read)
    return frame.lazy()


def _read_excel(file: str, read: FileRead) -> pl.LazyFrame:
    import polars as pl

    require("fastexcel", "reading EXCEL")
    # a row of NULLs is a row
    kwargs = {"has_header": read.has_header, "infer_schema_length": None, "drop_empty_rows": False, **read.kwargs}
    found = _call(pl.read_excel, file, read, kwargs)
    if isinstance(found, dict):
        msg = f"{file!r}: several sheets were asked for; name one"
        raise SourceError(msg)
    frame: pl.DataFrame = found
    if frame.null_count().sum_horizontal().sum():
        refuse_errors(file, kwargs)
    return frame.lazy()


def _read_orc(file: str, read: FileRead) -> pl.LazyFrame:
    import polars as pl

    orc = require("pyarrow.orc", "reading ORC")
    return pl.DataFrame(_call(orc.read_table, file, read)).lazy()


def _read_text(file: str, _read: FileRead) -> pl.LazyFrame:
    import polars as pl

    return pl.scan_lines(file, name="value", glob=False)


def _read_ipc(file: str, read: FileRead) -> pl.LazyFrame:
    import polars as pl

    checked_scan(file, "IPC")
    frame: pl.LazyFrame = _call(pl.scan_ipc, file, read, {"glob": False, **read.kwargs})
    return frame


def _read_pyarrow(file: str, read: FileRead) -> pl.LazyFrame:
    import polars as pl

    dataset = require("pyarrow.dataset", "reading PYARROW")
    kwargs = {"format": "parquet", **read.kwargs}
    return pl.scan_pyarrow_dataset(dataset.dataset(file, **kwargs))


_READERS = {
    "AVRO": _read_avro,
    "EXCEL": _read_excel,
    "ORC": _read_orc,
    "TEXT": _read_text,
    "PYARROW": _read_pyarrow,
    "IPC": _read_ipc,
}


def _call(reader: Callable[..., Any], file: str, read: FileRead, kwargs: Mapping[str, Any] | None = None) -> Any:
    return reader(file, **(read.kwargs if kwargs is None else kwargs))


def _raise_unreadable(file: str, format: str, error: BaseException) -> NoReturn:  # noqa: A002
    import polars as pl

    if isinstance(error, ImportError):
        raise error
    if isinstance(error, OSError) and error.strerror:
        msg = f"{file!r} cannot be read: {error.strerror}"
    elif isinstance(error, pl.exceptions.NoDataError):
        msg = f"{file!r} is empty, so there are no columns"
    elif isinstance(error, (TypeError, ValueError)):
        msg = f"{file!r}: {reason(error)}"
    else:
        msg = f"{file!r} is no {format} file, or is cut short or damaged"
    raise SourceError(msg) from error
