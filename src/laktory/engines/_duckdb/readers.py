"""Files → a query of DuckDB."""

# ruff: noqa: S608 - names and values are quoted by `identifier` and `literal`

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from laktory.engines import arrow_files
from laktory.engines._duckdb.types import duckdb_type, identifier, literal
from laktory.engines.errors import check_arguments, reason
from laktory.engines.formats import hive_keys, is_url, list_files
from laktory.engines.inference import infer_csv, infer_json_lines
from laktory.engines.schemas import check_declared, unite_schemas
from laktory.errors import SourceError, UnsupportedError
from laktory.optional import require

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import duckdb

    from laktory.engines.protocol import FileRead

    Types = Mapping[str, Any]

__all__ = ["Scan", "call_methods", "scan_files"]

_TEXT_FILES = frozenset(
    ["compression", "dateformat", "date_format", "hive_partitioning", "ignore_errors", "timestampformat", "timestamp_format"]
)
# options that decide on columns or types: then DuckDB reads the way it was told
_CSV_TYPES = frozenset(
    ["all_varchar", "auto_detect", "auto_type_candidates", "column_names", "column_types", "columns", "dtype", "dtypes", "filename", "force_not_null", "names", "normalize_names", "sample_size", "types", "union_by_name"]
)
_CSV = (
    _TEXT_FILES
    | _CSV_TYPES
    | frozenset(
        ["allow_quoted_nulls", "buffer_size", "comment", "decimal_separator", "delim", "delimiter", "encoding", "escape", "files_to_sniff", "header", "max_line_size", "maximum_line_size", "new_line", "null_padding", "nullstr", "parallel", "quote", "rejects_limit", "sep", "skip", "store_rejects", "strict_mode", "thousands"]
    )
)
_JSON_TYPES = frozenset(
    ["auto_detect", "columns", "convert_strings_to_integers", "field_appearance_threshold", "filename", "format", "map_inference_threshold", "maximum_depth", "maximum_sample_files", "records", "sample_size", "union_by_name"]
)
_JSON = _TEXT_FILES | _JSON_TYPES | frozenset({"maximum_object_size"})
_PARQUET_TYPES = frozenset({"file_row_number", "filename", "schema", "union_by_name"})
_PARQUET = _PARQUET_TYPES | frozenset(
    ["binary_as_string", "can_have_nan", "encryption_config", "explicit_cardinality", "hive_partitioning", "hive_types", "hive_types_autocast"]
)


@dataclass(frozen=True, slots=True)
class Scan:
    """A query over files, or a lazy frame of Polars that reads them."""

    query: str | pl.LazyFrame
    files: tuple[str, ...]


class _NoRows(Exception):  # noqa: N818 - a result, not an error
    pass


def scan_files(read: FileRead, con: duckdb.DuckDBPyConnection) -> Scan:
    """What reads the files, `rows` and `methods` left out.

    Raises
    ------
    SourceError
        Missing, empty, of another format, or not what `schema` declares.
    """
    if read.format == "DELTA":
        return Scan(_declared_frame(_scan_delta(read), read), (read.path,))
    files = read.files if read.files is not None else list_files(read.path, read.format)
    scan = _SCANS.get(read.format)
    if scan is None:
        return Scan(_declared_frame(arrow_files.read_files(read, files), read), tuple(files))
    try:
        return Scan(scan(read, files, con), tuple(files))
    except _NoRows:
        if read.schema is None:
            msg = f"{read.path!r} is empty, so there are no columns; declare them in 'schema'"
            raise SourceError(msg) from None
        columns = ", ".join(
            f"CAST(NULL AS {duckdb_type(dtype)}) AS {identifier(name)}" for name, dtype in read.schema.items()
        )
        return Scan(f"SELECT {columns} WHERE false", tuple(files))


def call_methods(relation: duckdb.DuckDBPyRelation, read: FileRead) -> duckdb.DuckDBPyRelation:
    """Apply `rows` and `methods` of a read.

    Raises
    ------
    UnsupportedError
        A method is none of those that only choose rows or columns.
    SourceError
        A method refuses its arguments.
    """
    if read.rows is not None:
        offset, count = read.rows
        relation = relation.limit(count, offset)
    for name, args, kwargs in read.methods:
        if name not in _METHODS:
            msg = f"reader method {name!r}: with the DUCKDB engine, only {', '.join(sorted(_METHODS))}"
            raise UnsupportedError(msg)
        try:
            relation = _METHODS[name](relation, *args, **kwargs)
        except (TypeError, ValueError) as error:
            msg = f"reader method {name!r}: {reason(error)}"
            raise SourceError(msg) from error
    return relation


def _limit(relation: duckdb.DuckDBPyRelation, n: int, offset: int = 0) -> duckdb.DuckDBPyRelation:
    return relation.limit(int(n), int(offset))


def _select(relation: duckdb.DuckDBPyRelation, *columns: str) -> duckdb.DuckDBPyRelation:
    return relation.project(", ".join(identifier(str(column)) for column in columns))


def _distinct(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    return relation.distinct()


_MICROSECONDS = {"ns": " // 1000", "us": "", "ms": " * 1000"}
_METHODS: dict[str, Callable[..., Any]] = {"distinct": _distinct, "limit": _limit, "select": _select}


# ---- CSV -----------------------------------------------------------------------------------------


def _scan_csv(read: FileRead, files: Sequence[str], con: duckdb.DuckDBPyConnection) -> str:
    check_arguments(read.kwargs, _CSV, "the CSV reader")
    files = _with_content(files)
    if is_url(files[0]) or read.kwargs.keys() & _CSV_TYPES:
        typed = read.kwargs.keys() & {"auto_type_candidates", "column_types", "columns", "dtype", "dtypes", "types"}
        options = {"header": read.has_header, "sample_size": -1, "union_by_name": True, **read.kwargs}
        options.setdefault("all_varchar", not (read.infer_schema or typed))
        return f"SELECT * FROM {_call('read_csv', files, options)}"
    options = {
        "header": read.has_header, "delim": ",", "quote": '"', "escape": '"',
        "auto_detect": False, "allow_quoted_nulls": False,
        # a short line ends in NULLs, a long one is an error; with line breaks in quotes that takes one thread
        "null_padding": True, "parallel": False,
        **read.kwargs,
    }  # fmt: skip
    for other in ("sep", "delimiter"):
        if other in options:
            options["delim"] = options.pop(other)
    headers = {file: _header(file, options) for file in files}
    if read.schema is not None:
        return _declared_csv(read, headers, options)
    text = dict.fromkeys((name for header in headers.values() for name in header), nw.String())
    query = _csv_query(headers, options, text)
    return _csv_query(headers, options, infer_csv(nw.from_native(con.sql(query)))) if read.infer_schema else query


def _csv_query(headers: Mapping[str, Sequence[str]], options: Mapping[str, Any], types: Types) -> str:
    """Columns united by name. Their texts are known to fit the types."""
    parts = []
    for header, group in groupby(headers, headers.__getitem__):
        kinds = {name: duckdb_type(types[name]) for name in header}
        columns = ", ".join(
            identifier(name) if name in header else f"CAST(NULL AS {duckdb_type(dtype)}) AS {identifier(name)}"
            for name, dtype in types.items()
        )
        parts.append(f"SELECT {columns} FROM {_call('read_csv', list(group), {**options, 'columns': kinds})}")
    return " UNION ALL ".join(parts)


def _declared_csv(read: FileRead, headers: Mapping[str, Sequence[str]], options: Mapping[str, Any]) -> str:
    assert read.schema is not None
    names = _declared_names(read, next(iter(headers.values())))
    for file, header in headers.items():
        check_declared(dict.fromkeys(header, pl.Null()), dict.fromkeys(names, pl.Null()), file)
    columns = []
    for found, name in names.items():
        dtype = read.schema[name]
        if isinstance(dtype, (nw.Binary, nw.Duration, nw.List, nw.Struct, nw.Array, nw.Object)):
            msg = f"column {name!r}: CSV has no form of the type {dtype}, which 'schema' declares"
            raise SourceError(msg)
        columns.append(f"{_strict(identifier(found), dtype)} AS {identifier(name)}")
    text = dict.fromkeys((name for header in headers.values() for name in header), nw.String())
    return f"SELECT {', '.join(columns)} FROM ({_csv_query(headers, options, text)})"


def _declared_names(read: FileRead, first: Sequence[str]) -> dict[str, str]:
    declared = list(read.schema or ())
    if read.has_header:
        return dict(zip(declared, declared, strict=True))
    if len(first) != len(declared):
        msg = f"{read.path!r} has {len(first)} columns, but 'schema' declares {len(declared)}"
        raise SourceError(msg)
    return dict(zip(first, declared, strict=True))


def _header(file: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the columns, found by the same reader as for the Polars engine."""
    frame = pl.scan_csv(
        [file],
        glob=False,
        infer_schema=False,
        has_header=bool(options["header"]),
        separator=options["delim"],
        quote_char=options["quote"] or None,
        skip_lines=int(options.get("skip", 0)),
        comment_prefix=options.get("comment") or None,
    )
    return tuple(frame.collect_schema())


# ---- JSON ----------------------------------------------------------------------------------------


def _scan_json_lines(read: FileRead, files: Sequence[str], con: duckdb.DuckDBPyConnection) -> str:
    del con
    check_arguments(read.kwargs, _JSON, "the JSON lines reader")
    files = _with_content(files)
    options: dict[str, Any] = {"format": "newline_delimited", "auto_detect": False, **read.kwargs}
    if is_url(files[0]) or read.kwargs.keys() & _JSON_TYPES:
        options = {"sample_size": -1, "maximum_sample_files": 2**31, **options, "auto_detect": "columns" not in options}
        return f"SELECT * FROM {_call('read_json', files, options)}"
    if read.schema is not None:
        raw = {name: _json_type(dtype, name) for name, dtype in read.schema.items()}
        columns = ", ".join(
            f"{_strict(identifier(name), dtype)} AS {identifier(name)}" for name, dtype in read.schema.items()
        )
        return f"SELECT {columns} FROM {_call('read_json', files, {**options, 'columns': raw})}"
    schema, _ = infer_json_lines(files)
    if not schema:
        raise _NoRows
    types = {name: duckdb_type(dtype) for name, dtype in schema.items()}
    return f"SELECT * FROM {_call('read_json', files, {**options, 'columns': types})}"


def _json_type(dtype: Any, where: str) -> str:
    """The declared type with text in place of numbers that DuckDB would round."""
    if isinstance(dtype, nw.Struct):
        inner = ", ".join(
            f"{identifier(f.name)} {_json_type(_made(f.dtype), f'{where}.{f.name}')}" for f in dtype.fields
        )
        return f"STRUCT({inner})"
    if isinstance(dtype, (nw.List, nw.Array)):
        return f"{_json_type(_made(dtype.inner), f'{where}[]')}[]"
    if isinstance(dtype, (nw.Binary, nw.Duration, nw.Object)):
        msg = f"column {where!r}: JSON has no form of the type {dtype}"
        raise SourceError(msg)
    return "VARCHAR" if dtype.is_integer() or isinstance(dtype, nw.Decimal) else duckdb_type(dtype)


# ---- Parquet -------------------------------------------------------------------------------------


def _scan_parquet(read: FileRead, files: Sequence[str], con: duckdb.DuckDBPyConnection) -> str:
    del con
    check_arguments(read.kwargs, _PARQUET, "the PARQUET reader")
    if is_url(files[0]) or read.kwargs.keys() & _PARQUET_TYPES:
        return f"SELECT * FROM {_call('read_parquet', files, {'union_by_name': True, **read.kwargs})}"
    schemas = {file: _file_schema(file) for file in files}
    united = unite_schemas(files, list(schemas.values()))
    keys = [key for key in hive_keys(files, read.path) if key not in united] if read.files is None else []
    declared = read.schema.to_polars() if read.schema is not None else None
    if declared is not None:
        check_declared({**united, **dict.fromkeys(keys, pl.Null())}, declared, read.path)
    wanted = declared if declared is not None else {**united, **dict.fromkeys(keys)}
    options = {"hive_partitioning": bool(keys), **read.kwargs}
    parts = []
    # the names and types of a group are equal, so that one scan reads it
    for _, group in groupby(files, lambda file: sorted(schemas[file].items(), key=str)):
        members = list(group)
        found = schemas[members[0]]
        columns = [
            _parquet_column(name, found.get(name), dtype, inside=name in found or name in keys)
            for name, dtype in wanted.items()
        ]
        parts.append(f"SELECT {', '.join(columns)} FROM {_call('read_parquet', members, options)}")
    return " UNION ALL ".join(parts)


def _parquet_column(name: str, found: Any, wanted: Any, *, inside: bool) -> str:
    column = identifier(name)
    value = column if inside else "NULL"
    if found == pl.Duration:
        # Polars keeps durations as integers that only it knows to be durations
        value = f"to_microseconds({column}{_MICROSECONDS[found.time_unit]})"
    elif found in {pl.Int128, pl.UInt128}:
        msg = f"column {name!r} is {found}, which DUCKDB does not read from PARQUET"
        raise SourceError(msg)
    if wanted is None or wanted in {found, pl.Null}:
        return f"{value} AS {column}"
    kind = duckdb_type(nw.Schema.from_polars(pl.Schema({name: wanted}))[name])
    return f"CAST({value} AS {kind}) AS {column}"


def _file_schema(file: str) -> pl.Schema:
    if not _size(file):
        msg = f"{file!r} is empty, it is no PARQUET file"
        raise SourceError(msg)
    try:
        return pl.scan_parquet([file], glob=False, hive_partitioning=False).collect_schema()
    except OSError as error:
        msg = f"{file!r} cannot be read: {reason(error)}"
        raise SourceError(msg) from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        msg = f"{file!r} is no PARQUET file, or is cut short or damaged"
        raise SourceError(msg) from error


_SCANS: dict[str, Callable[[FileRead, Sequence[str], Any], str]] = {
    "CSV": _scan_csv,
    "JSONL": _scan_json_lines,
    "NDJSON": _scan_json_lines,
    "PARQUET": _scan_parquet,
}


# ---- through Polars ------------------------------------------------------------------------------


def _scan_delta(read: FileRead) -> pl.LazyFrame:
    """Deletion vectors, renamed and added columns: `polars.scan_delta` knows them, and is read lazily from here."""
    deltalake = require("deltalake", "the format DELTA")
    check_arguments(read.kwargs, ("storage_options", "version"), "the DELTA reader")
    kwargs = dict(read.kwargs)
    try:
        version = kwargs.get("version", read.version)
        table = deltalake.DeltaTable(read.path, version=version, storage_options=kwargs.get("storage_options"))
        frame = pl.scan_delta(table)
        frame.collect_schema()
    except deltalake.exceptions.TableNotFoundError as error:
        msg = f"{read.path!r} is no Delta table"
        raise SourceError(msg) from error
    except deltalake.exceptions.DeltaError as error:
        wanted = f" has no version {read.version}, or" if read.version is not None else ""
        msg = f"{read.path!r}{wanted} cannot be read as a Delta table: {reason(error)}"
        raise SourceError(msg) from error
    return frame


def _declared_frame(frame: pl.LazyFrame, read: FileRead) -> pl.LazyFrame:
    if read.schema is None:
        return frame
    from laktory.engines.schemas import fit

    declared = read.schema.to_polars()
    check_declared(frame.collect_schema(), declared, read.path)
    return fit(frame, declared)


# ---- values --------------------------------------------------------------------------------------


def _strict(value: str, dtype: Any, depth: int = 0) -> str:
    """Text made the declared type; a fraction is no integer, where DuckDB would round it."""
    kind = duckdb_type(dtype)
    if isinstance(dtype, nw.Struct):
        fields = [
            f"{identifier(f.name)} := {_strict(f'{value}.{identifier(f.name)}', _made(f.dtype), depth)}"
            for f in dtype.fields
        ]
        return f"CASE WHEN {value} IS NOT NULL THEN struct_pack({', '.join(fields)}) END"
    if isinstance(dtype, (nw.List, nw.Array)):
        inner = _strict(f"x{depth}", _made(dtype.inner), depth + 1)
        return f"CAST(list_transform({value}, lambda x{depth}: {inner}) AS {kind})"
    if dtype.is_integer():
        said = f"concat('''', {value}, ''' is no integer')"
        fits = f"{value} IS NULL OR regexp_full_match({value}, '[+-]?[0-9]+')"
        return f"CASE WHEN {fits} THEN CAST({value} AS {kind}) ELSE error({said}) END"
    return value if isinstance(dtype, nw.String) else f"CAST({value} AS {kind})"


def _made(dtype: Any) -> Any:
    return dtype() if isinstance(dtype, type) else dtype


def _call(function: str, files: Sequence[str], options: Mapping[str, Any]) -> str:
    paths = literal([_escaped(file) for file in files])
    arguments = "".join(f", {name} = {literal(value)}" for name, value in options.items())
    return f"{function}({paths}{arguments})"


def _escaped(file: str) -> str:
    """A path DuckDB takes as it is, not as a glob."""
    if is_url(file) or not any(sign in file for sign in "*?["):
        return file
    return "".join(f"[{char}]" if char in "*?[" else char for char in file)


def _with_content(files: Sequence[str]) -> list[str]:
    found = [file for file in files if is_url(file) or _size(file)]
    if not found:
        raise _NoRows
    return found


def _size(file: str) -> int:
    try:
        return Path(file).stat().st_size
    except OSError as error:
        msg = f"{PurePath(file).as_posix()!r} cannot be read: {error.strerror}"
        raise SourceError(msg) from error
