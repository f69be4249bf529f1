"""Files → `polars.LazyFrame`."""

from __future__ import annotations

import glob
import inspect
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from laktory.engines import arrow_files
from laktory.engines.delta_tables import scan_delta
from laktory.engines.errors import check_arguments, reason
from laktory.engines.formats import hive_keys, is_url, list_files
from laktory.engines.inference import infer_csv, infer_json_lines
from laktory.engines.schemas import check_declared, fit, unite_schemas
from laktory.errors import SourceError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from laktory.engines.protocol import FileRead

__all__ = ["files_of", "scan_files"]

_OWN_TYPES = frozenset({"schema", "schema_overrides", "infer_schema", "infer_schema_length", "infer_schema_files"})
_OWN_COLUMNS = frozenset({"new_columns", "with_column_names", "include_file_paths", "row_index_name"})
# methods of a frame that take functions or read something else
_NOT_FOR_READERS = frozenset({"deserialize", "inspect", "map_batches", "pipe", "pipe_with_schema"})


def files_of(read: FileRead) -> tuple[str, ...]:
    """The files a read is about; of a Delta table, its folder.

    Raises
    ------
    SourceError
        Nothing is there, or nothing of the format.
    """
    if read.format == "DELTA":
        return (read.path,)
    return read.files if read.files is not None else list_files(read.path, read.format)


def scan_files(read: FileRead, files: Sequence[str]) -> pl.LazyFrame:
    """The rows of these files, lazily.

    Raises
    ------
    SourceError
        Empty, of another format, or not what `schema` declares.
    """
    frame = _SCANS.get(read.format, _scan_through_arrow)(read, files)
    if read.rows is not None:
        frame = frame.slice(*read.rows)
    for name, args, kwargs in read.methods:
        frame = _call_method(frame, name, args, kwargs)
    return frame


def _scan_csv(read: FileRead, files: Sequence[str]) -> pl.LazyFrame:
    check_arguments(read.kwargs, _parameters(pl.scan_csv), "the CSV reader")
    declared = read.schema.to_polars() if read.schema is not None else None
    files = _with_content(files)
    if not files:
        return _no_rows(read, declared)
    options: dict[str, Any] = {"has_header": read.has_header, "infer_schema": False, **read.kwargs}
    if is_url(files[0]) or read.kwargs.keys() & (_OWN_TYPES | _OWN_COLUMNS):
        options.setdefault("infer_schema_length", None)
        if "infer_schema" not in read.kwargs:
            options["infer_schema"] = read.infer_schema or "infer_schema_length" in read.kwargs
        source: Any = files[0] if is_url(files[0]) else list(files)
        return _as_declared(pl.scan_csv(source, glob=is_url(files[0]), **options), declared, read.path)

    def scan(types: dict[str, pl.DataType]) -> pl.LazyFrame:
        parts = [pl.scan_csv(group, glob=False, schema_overrides=types, **options) for group in groups]
        return parts[0] if len(parts) == 1 else pl.concat(parts, how="diagonal")

    headers = {file: _header(file, options) for file in files}
    groups = [list(group) for _, group in groupby(files, headers.__getitem__)]
    if declared is None:
        return scan(infer_csv(_narwhals(scan({}))).to_polars() if read.infer_schema else {})
    names = dict(zip(declared, declared, strict=True))
    if not read.has_header:
        first = headers[files[0]]
        if len(first) != len(declared):
            msg = f"{files[0]!r} has {len(first)} columns, but 'schema' declares {len(declared)}"
            raise SourceError(msg)
        names = dict(zip(first, declared, strict=True))
    for file, header in headers.items():
        check_declared(dict.fromkeys(header, pl.Null()), dict.fromkeys(names, pl.Null()), file)
    types = {found: _csv_type(name, declared[name]) for found, name in names.items()}
    return scan(types).select(pl.col(found).alias(name) for found, name in names.items())


def _scan_json_lines(read: FileRead, files: Sequence[str]) -> pl.LazyFrame:
    check_arguments(read.kwargs, _parameters(pl.scan_ndjson), "the JSON lines reader")
    declared = read.schema.to_polars() if read.schema is not None else None
    files = _with_content(files)
    if not files:
        return _no_rows(read, declared)
    # this reader takes every path as a glob
    literal = list(files) if is_url(files[0]) else [glob.escape(file) for file in files]
    if declared is not None and "schema" not in read.kwargs:
        return arrow_files.parse_json_lines(literal, declared, **read.kwargs)
    if is_url(files[0]) or read.kwargs.keys() & (_OWN_TYPES | {"ignore_errors"}):
        options = {"infer_schema_length": None, **read.kwargs}
        # one call would take the columns of one file for all
        return pl.concat([pl.scan_ndjson(file, **options) for file in literal], how="diagonal_relaxed")
    inferred, exact = infer_json_lines(files)
    schema = inferred.to_polars()
    if not schema:
        return _no_rows(read, None)
    if not exact or read.kwargs:
        return pl.scan_ndjson(literal, schema=schema, **read.kwargs)
    # every line is known to fit: the decoder of text columns is faster than the JSON lines reader
    lines = pl.scan_lines(list(files), name="line", glob=False)
    return lines.select(pl.col("line").str.json_decode(pl.Struct(schema)).struct.unnest())


def _scan_typed(read: FileRead, files: Sequence[str]) -> pl.LazyFrame:
    scan: Callable[..., pl.LazyFrame] = pl.scan_parquet if read.format == "PARQUET" else pl.scan_ipc
    check_arguments(read.kwargs, _parameters(scan), f"the {read.format} reader")
    declared = read.schema.to_polars() if read.schema is not None else None
    if is_url(files[0]) or "schema" in read.kwargs:
        source: Any = files[0] if is_url(files[0]) else list(files)
        return _as_declared(scan(source, **read.kwargs), declared, read.path)
    schemas = {file: _file_schema(file, read.format) for file in files}
    united = unite_schemas(files, list(schemas.values()))
    keys = hive_keys(files, read.path) if read.files is None else []
    options = {"glob": False, "hive_partitioning": bool(keys), **read.kwargs}
    # the names and types of a group are equal, so that one scan reads it
    groups = [list(group) for _, group in groupby(files, lambda file: sorted(schemas[file].items(), key=str))]
    parts = [scan(group, **options) for group in groups]
    if keys:
        outer = [part.partition("=")[0] for part in Path(read.path).parts if "=" in part]
        parts = [part.drop([name for name in outer if name not in {*keys, *united}], strict=False) for part in parts]
    if len(parts) > 1:
        parts = [fit(part, {**part.collect_schema(), **united}) for part in parts]
    frame = parts[0] if len(parts) == 1 else pl.concat(parts, how="diagonal_relaxed")
    return _as_declared(frame, declared, read.path)


def _scan_delta(read: FileRead, _files: Sequence[str]) -> pl.LazyFrame:
    check_arguments(read.kwargs, _parameters(pl.scan_delta), "the DELTA reader")
    kwargs = dict(read.kwargs)
    frame = scan_delta(read.path, kwargs.pop("version", read.version), kwargs)
    return _as_declared(frame, read.schema.to_polars() if read.schema is not None else None, read.path)


def _scan_through_arrow(read: FileRead, files: Sequence[str]) -> pl.LazyFrame:
    frame = arrow_files.read_files(read, files)
    return _as_declared(frame, read.schema.to_polars() if read.schema is not None else None, read.path)


_SCANS: dict[str, Callable[[FileRead, Sequence[str]], pl.LazyFrame]] = {
    "CSV": _scan_csv,
    "JSONL": _scan_json_lines,
    "NDJSON": _scan_json_lines,
    "PARQUET": _scan_typed,
    "IPC": _scan_typed,
    "DELTA": _scan_delta,
}


def _as_declared(frame: pl.LazyFrame, declared: pl.Schema | None, where: str) -> pl.LazyFrame:
    if declared is None:
        return frame
    check_declared(frame.collect_schema(), declared, where)
    return fit(frame, declared)


def _with_content(files: Sequence[str]) -> tuple[str, ...]:
    return tuple(file for file in files if is_url(file) or _size(file))


def _size(file: str) -> int:
    try:
        return Path(file).stat().st_size
    except OSError as error:
        msg = f"{file!r} cannot be read: {error.strerror}"
        raise SourceError(msg) from error


def _no_rows(read: FileRead, declared: pl.Schema | None) -> pl.LazyFrame:
    if declared is None:
        msg = f"{read.path!r} is empty, so there are no columns; declare them in 'schema'"
        raise SourceError(msg)
    return pl.LazyFrame(schema=declared)


def _header(file: str, options: dict[str, Any]) -> tuple[str, ...]:
    return tuple(pl.scan_csv([file], glob=False, **options).collect_schema())


def _file_schema(file: str, format: str) -> pl.Schema:  # noqa: A002
    if not _size(file):
        msg = f"{file!r} is empty, it is no {format} file"
        raise SourceError(msg)
    try:
        if format == "PARQUET":
            return pl.scan_parquet([file], glob=False, hive_partitioning=False).collect_schema()
        return pl.scan_ipc([file], glob=False, hive_partitioning=False).collect_schema()
    except OSError as error:
        msg = f"{file!r} cannot be read: {reason(error)}"
        raise SourceError(msg) from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        msg = f"{file!r} is no {format} file, or is cut short or damaged"
        raise SourceError(msg) from error


def _csv_type(name: str, dtype: pl.DataType) -> pl.DataType:
    if isinstance(dtype, (pl.Binary, pl.Duration, pl.List, pl.Struct, pl.Array, pl.Object)):
        msg = f"column {name!r}: CSV has no form of the type {dtype}, which 'schema' declares"
        raise SourceError(msg)
    return dtype


def _call_method(frame: pl.LazyFrame, name: str, args: Sequence[Any], kwargs: Any) -> pl.LazyFrame:
    method = getattr(pl.LazyFrame, name, None) if not name.startswith("_") and name not in _NOT_FOR_READERS else None
    if method is None or not callable(method) or inspect.signature(method).return_annotation != "LazyFrame":
        msg = f"reader method {name!r}: with the Polars engine, only methods of LazyFrame that give a LazyFrame"
        raise UnsupportedError(msg)
    try:
        result: pl.LazyFrame = method(frame, *args, **kwargs)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        msg = f"reader method {name!r}: {reason(error)}"
        raise SourceError(msg) from error
    return result


def _parameters(reader: Callable[..., Any]) -> set[str]:
    names = list(inspect.signature(reader).parameters)[1:]
    return {name for name in names if not name.startswith("_")} - {"glob"}


def _narwhals(frame: pl.LazyFrame) -> Any:
    import narwhals as nw

    return nw.from_native(frame)
