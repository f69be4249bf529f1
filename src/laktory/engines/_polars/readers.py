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
from laktory.engines.hive import key_types, keys_of, refuse_conflicts
from laktory.engines.inference import check_json_lines, infer_json_lines
from laktory.engines.scans import check_text, checked_scan, no_rows, scan_csv, scan_file, with_content
from laktory.engines.schemas import check_declared, declared_schema, fit, from_text, unite_schemas
from laktory.errors import SourceError, UnsupportedError
from laktory.paths import local_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from laktory.engines.protocol import FileRead

__all__ = ["scan_files"]

_OWN_TYPES = frozenset({"schema", "schema_overrides", "infer_schema", "infer_schema_length", "infer_schema_files"})
_OWN_COLUMNS = frozenset({"new_columns", "with_column_names", "include_file_paths", "row_index_name"})
# methods of a frame that take functions or read something else
_NOT_FOR_READERS = frozenset({"deserialize", "inspect", "map_batches", "pipe", "pipe_with_schema"})


def scan_files(read: FileRead, files: Sequence[str]) -> pl.LazyFrame:
    """The rows of these files, lazily.

    Raises
    ------
    SourceError
        Empty, of another format, or not what `schema` declares.
    """
    check_arguments(read.kwargs, reader_arguments(read.format), f"the {read.format} reader")
    frame = _SCANS.get(read.format, _scan_through_arrow)(read, files)
    if read.rows is not None:
        frame = frame.slice(*read.rows)
    for name, args, kwargs in read.methods:
        frame = _call_method(frame, name, args, kwargs)
    return frame


def _scan_csv(read: FileRead, files: Sequence[str]) -> pl.LazyFrame:
    declared = declared_schema(read)
    files = with_content(files)
    if not files:
        return no_rows(read)
    remote = local_path(files[0]) is None
    options: dict[str, Any] = {"has_header": read.has_header, "infer_schema": False, **read.kwargs}
    if remote or read.kwargs.keys() & (_OWN_TYPES | _OWN_COLUMNS):
        options.setdefault("infer_schema_length", None)
        if "infer_schema" not in read.kwargs:
            options["infer_schema"] = read.infer_schema or "infer_schema_length" in read.kwargs
        check_text(files)
        source: Any = files[0] if remote else list(files)
        return _as_declared(pl.scan_csv(source, glob=remote, **options), declared, read.path)

    # columns that nobody asks for are read, too: a line that breaks off in one of them is no other number of lines
    return scan_csv(read, files, options).map_batches(_same, projection_pushdown=False, streamable=True)


def _same(frame: pl.DataFrame) -> pl.DataFrame:
    return frame


def _scan_json_lines(read: FileRead, files: Sequence[str]) -> pl.LazyFrame:
    declared = declared_schema(read)
    files = with_content(files)
    if not files:
        return no_rows(read)
    check_text(files)
    remote = local_path(files[0]) is None
    # this reader takes every path as a glob
    literal = list(files) if remote else [glob.escape(file) for file in files]
    own_types = bool(read.kwargs.keys() & _OWN_TYPES)
    if not remote and not read.kwargs.get("ignore_errors") and (declared is not None or own_types):
        check_json_lines(files, None if own_types else declared)
    if declared is not None and "schema" not in read.kwargs:
        return arrow_files.parse_json_lines(literal, declared, **read.kwargs)
    if remote or own_types or "ignore_errors" in read.kwargs:
        options = {"infer_schema_length": None, **read.kwargs}
        # one call would take the columns of one file for all
        return pl.concat([pl.scan_ndjson(file, **options) for file in literal], how="diagonal_relaxed")
    inferred, exact, _ = infer_json_lines(files)
    schema = inferred.to_polars()
    if not schema:
        return no_rows(read)
    if not exact or read.kwargs:
        return arrow_files.parse_json_lines(literal, schema, **read.kwargs)
    # every line is known to fit: the decoder of text columns is faster than the JSON lines reader
    lines = pl.scan_lines(list(files), name="line", glob=False)
    # unnested as an expression, each column would decode every line again
    return lines.select(pl.col("line").str.json_decode(pl.Struct(schema))).unnest("line")


def _scan_typed(read: FileRead, files: Sequence[str]) -> pl.LazyFrame:
    scan: Callable[..., pl.LazyFrame] = pl.scan_parquet if read.format == "PARQUET" else pl.scan_ipc
    declared, remote = declared_schema(read), local_path(files[0]) is None
    if remote or "schema" in read.kwargs:
        source: Any = files[0] if remote else list(files)
        return _as_declared(scan(source, **read.kwargs), declared, read.path)
    keys = keys_of(read, files)
    if len(files) == 1 and not keys and not read.kwargs:
        return _as_declared(checked_scan(files[0], read.format), declared, read.path)
    schemas = {file: checked_scan(file, read.format).collect_schema() for file in files}
    united = unite_schemas(files, list(schemas.values()))
    refuse_conflicts(keys, schemas, lambda file: scan_file(file, read.format))
    options: dict[str, Any] = {"glob": False, "hive_partitioning": bool(keys)}
    if keys:
        # the reader takes folders above for keys, too
        above = [part.partition("=")[0] for part in Path(files[0]).parent.parts if "=" in part]
        types = {**dict.fromkeys(above, pl.String()), **key_types(keys), **united, **(declared or {})}
        # the reader has no times in names of folders
        times = [name for name in above if types[name] == pl.Time]
        options["hive_schema"] = {name: types[name] if name not in times else pl.String() for name in above}
    options |= read.kwargs
    # the names and types of a group are equal, so that one scan reads it
    groups = [list(group) for _, group in groupby(files, lambda file: sorted(schemas[file].items(), key=str))]
    parts = [scan(group, **options) for group in groups]
    if keys:
        known = {*key_types(keys), *united}
        parts = [part.drop([name for name in above if name not in known], strict=False) for part in parts]
        parts = [part.with_columns(from_text(pl.col(name), pl.Time()) for name in times) for part in parts]
    if len(parts) > 1:
        parts = [fit(part, {**part.collect_schema(), **united}) for part in parts]
    frame = parts[0] if len(parts) == 1 else pl.concat(parts, how="diagonal_relaxed")
    return _as_declared(frame, declared, read.path)


def _scan_delta(read: FileRead, _files: Sequence[str]) -> pl.LazyFrame:
    kwargs = dict(read.kwargs)
    frame = scan_delta(read.path, kwargs.pop("version", read.version), kwargs)
    return _as_declared(frame, declared_schema(read), read.path)


def _scan_through_arrow(read: FileRead, files: Sequence[str]) -> pl.LazyFrame:
    frame = arrow_files.read_files(read, files)
    return _as_declared(frame, declared_schema(read), read.path)


_READERS: dict[str, Callable[..., Any]] = {
    "CSV": pl.scan_csv,
    "DELTA": pl.scan_delta,
    "IPC": pl.scan_ipc,
    "JSONL": pl.scan_ndjson,
    "NDJSON": pl.scan_ndjson,
    "PARQUET": pl.scan_parquet,
}
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


def reader_arguments(format: str) -> Collection[str]:  # noqa: A002
    """Keyword arguments of the reader of a format."""
    reader = _READERS.get(format)
    return arrow_files.parameters(reader) if reader is not None else arrow_files.reader_arguments(format)


def reader_methods() -> list[str]:
    """Methods of what a reader gives: those of LazyFrame that give a LazyFrame."""
    public = (name for name in dir(pl.LazyFrame) if not name.startswith("_") and name not in _NOT_FOR_READERS)
    return [name for name in public if _gives_frame(getattr(pl.LazyFrame, name))]


def _gives_frame(method: Any) -> bool:
    return callable(method) and inspect.signature(method).return_annotation == "LazyFrame"


def _call_method(frame: pl.LazyFrame, name: str, args: Sequence[Any], kwargs: Any) -> pl.LazyFrame:
    if name not in reader_methods():
        msg = f"reader method {name!r}: with the Polars engine, only methods of LazyFrame that give a LazyFrame"
        raise UnsupportedError(msg)
    try:
        result: pl.LazyFrame = getattr(frame, name)(*args, **kwargs)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        msg = f"reader method {name!r}: {reason(error)}"
        raise SourceError(msg) from error
    return result
