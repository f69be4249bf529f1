"""Files → a query of DuckDB."""

# ruff: noqa: S608 - names and values are quoted by `identifier` and `literal`

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from laktory.engines import arrow_files
from laktory.engines._duckdb.failures import SOURCE_MARK
from laktory.engines._duckdb.types import duckdb_type, identifier, literal
from laktory.engines.delta_tables import scan_delta
from laktory.engines.errors import check_arguments, check_compression, reason
from laktory.engines.hive import key_types, keys_of, refuse_conflicts
from laktory.engines.inference import check_json_lines, infer_csv, infer_json_lines
from laktory.engines.scans import check_text, checked_scan, csv_header, no_rows, scan_csv, scan_file, with_content
from laktory.engines.schemas import check_declared, declared_schema, fit, rounds, unite_schemas, whole_limit
from laktory.errors import SourceError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import duckdb

    from laktory.engines.protocol import FileRead

    Types = Mapping[str, Any]

__all__ = ["call_methods", "refuse_names", "scan_files"]

_COMPRESSIONS = frozenset({"auto", "gzip", "none", "zstd"})
_TEXT_FILES = frozenset({
    "compression", "date_format", "dateformat", "hive_partitioning", "ignore_errors", "timestamp_format",
    "timestampformat",
})  # fmt: skip
# options that decide on columns or types: then DuckDB reads the way it is told
_CSV_TYPES = frozenset({
    "all_varchar", "auto_detect", "auto_type_candidates", "column_names", "column_types", "columns", "dtype",
    "dtypes", "filename", "force_not_null", "names", "normalize_names", "sample_size", "types", "union_by_name",
})  # fmt: skip
_CSV = _TEXT_FILES | _CSV_TYPES | frozenset({
    "allow_quoted_nulls", "buffer_size", "comment", "decimal_separator", "delim", "delimiter", "encoding", "escape",
    "files_to_sniff", "header", "max_line_size", "maximum_line_size", "new_line", "null_padding", "nullstr",
    "parallel", "quote", "rejects_limit", "sep", "skip", "store_rejects", "strict_mode", "thousands",
})  # fmt: skip
# options of DuckDB that Polars has too
_CSV_DIALECT = {
    "comment": "comment_prefix", "delim": "separator", "delimiter": "separator", "header": "has_header",
    "quote": "quote_char", "sep": "separator", "skip": "skip_lines",
}  # fmt: skip
_JSON_TYPES = frozenset({
    "auto_detect", "columns", "convert_strings_to_integers", "field_appearance_threshold", "filename", "format",
    "map_inference_threshold", "maximum_depth", "maximum_sample_files", "records", "sample_size", "union_by_name",
})  # fmt: skip
_JSON = _TEXT_FILES | _JSON_TYPES | frozenset({"maximum_object_size"})
_PARQUET_TYPES = frozenset({"file_row_number", "filename", "schema", "union_by_name"})
_PARQUET = _PARQUET_TYPES | frozenset({
    "binary_as_string", "can_have_nan", "encryption_config", "explicit_cardinality", "hive_partitioning",
    "hive_types", "hive_types_autocast",
})  # fmt: skip
_ARGUMENTS = {
    "CSV": _CSV,
    "DELTA": ("storage_options", "version"),
    "JSONL": _JSON,
    "NDJSON": _JSON,
    "PARQUET": _PARQUET,
}


def reader_arguments(format: str) -> Collection[str]:  # noqa: A002
    """Keyword arguments of the reader of a format."""
    return _ARGUMENTS[format] if format in _ARGUMENTS else arrow_files.reader_arguments(format)


def reader_methods() -> list[str]:
    """Methods of what a reader gives: those that only choose rows or columns."""
    return sorted(_METHODS)


def scan_files(read: FileRead, files: Sequence[str], con: duckdb.DuckDBPyConnection) -> str | pl.LazyFrame:
    """A query that reads the files, or a plan of Polars that does; `rows` and `methods` left out.

    Raises
    ------
    SourceError
        Empty, of another format, or not what `schema` declares.
    """
    check_arguments(read.kwargs, reader_arguments(read.format), f"the {read.format} reader")
    if read.format == "DELTA":
        kwargs = dict(read.kwargs)
        return _as_declared(scan_delta(read.path, kwargs.pop("version", read.version), kwargs), read)
    scan = _SCANS.get(read.format)
    if scan is None:
        return _as_declared(arrow_files.read_files(read, files), read)
    if read.format == "PARQUET":
        return scan(read, files, con)
    files = with_content(files)
    if "compression" not in read.kwargs:
        check_text(files)
    return scan(read, files, con) if files else no_rows(read)


def refuse_names(schema: Mapping[str, Any], where: str) -> None:
    """Refuse names of columns or fields that DuckDB changes by itself: empty ones, and those that differ by case only.

    Also structs without fields, which it has not.

    Raises
    ------
    SourceError
        Names the columns.
    """
    seen: dict[str, str] = {}
    for name, dtype in schema.items():
        if not name:
            msg = f"{where}: a column has no name, which DUCKDB cannot hold"
            raise SourceError(msg)
        if (other := seen.setdefault(name.casefold(), name)) != name:
            msg = f"{where}: the names {other!r} and {name!r} differ only by case, which DUCKDB does not tell apart"
            raise SourceError(msg)
        inner = _made(dtype)
        while isinstance(inner, (nw.List, nw.Array)):
            inner = _made(inner.inner)
        if isinstance(inner, nw.Struct):
            if not inner.fields:
                msg = f"{where}: column {name!r} is a struct without fields, which DUCKDB cannot hold"
                raise SourceError(msg)
            refuse_names({field.name: field.dtype for field in inner.fields}, where)


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


def _scan_csv(read: FileRead, files: Sequence[str], con: duckdb.DuckDBPyConnection) -> str | pl.LazyFrame:
    """Through Polars: DuckDB drops blank lines, ends an open quote silently, and needs one thread for short lines."""
    check_compression(read.kwargs, _COMPRESSIONS, "the CSV reader")
    if not read.kwargs.keys() <= _CSV_DIALECT.keys():
        return _csv_as_told(read, files, con)
    options: dict[str, Any] = {"has_header": read.has_header, "infer_schema": False}
    options |= {_CSV_DIALECT[name]: value for name, value in read.kwargs.items()}
    options |= {name: None for name in ("comment_prefix", "quote_char") if options.get(name) == ""}

    return scan_csv(read, files, options)


def _csv_as_told(read: FileRead, files: Sequence[str], con: duckdb.DuckDBPyConnection) -> str:
    """With the reader of DuckDB, whose options were asked for. All columns are text unless told otherwise."""
    if read.schema is not None:
        msg = f"{read.path!r}: 'schema' goes with the CSV options {', '.join(sorted(_CSV_DIALECT))} only; use 'columns'"
        raise SourceError(msg)
    typed = read.kwargs.keys() & {"auto_type_candidates", "column_types", "columns", "dtype", "dtypes", "types"}
    options: dict[str, Any] = {"header": read.has_header, "all_varchar": not typed, "union_by_name": True}
    if not read.kwargs.keys() & _CSV_TYPES:
        # by itself the reader guesses which lines are data, and takes columns of several files by position
        options = {"header": read.has_header, "quote": '"', "escape": '"', "auto_detect": False}
        options["allow_quoted_nulls"] = False
        headers = {file: _header(file, {**options, **read.kwargs}) for file in files}
        options["columns"] = dict.fromkeys(headers[files[0]], "VARCHAR")
        for file, header in headers.items():
            if header != headers[files[0]]:
                msg = f"{file!r} has other columns than {files[0]!r}; with these CSV options that needs 'union_by_name'"
                raise SourceError(msg)
    query = f"SELECT * FROM {_call('read_csv', files, {**options, **read.kwargs})}"
    if not read.infer_schema or typed:
        return query
    types = infer_csv(nw.from_native(con.sql(query)))
    columns = ", ".join(
        f"CAST({identifier(name)} AS {duckdb_type(dtype)}) AS {identifier(name)}" for name, dtype in types.items()
    )
    return f"SELECT {columns} FROM ({query})"


def _header(file: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the columns, found by the same reader as without options."""
    told = {
        "infer_schema": False,
        "separator": next((options[name] for name in ("delim", "sep", "delimiter") if name in options), ","),
        "quote_char": options["quote"] or None,
        "has_header": bool(options["header"]),
        "skip_lines": int(options.get("skip", 0)),
        "comment_prefix": options.get("comment") or None,
    }
    return csv_header(file, told)


# ---- JSON ----------------------------------------------------------------------------------------


def _scan_json_lines(read: FileRead, files: Sequence[str], con: duckdb.DuckDBPyConnection) -> str | pl.LazyFrame:
    del con
    check_compression(read.kwargs, _COMPRESSIONS, "the JSON lines reader")
    # types are given, yet each binding would read a sample of this many rows
    # without `records`, one line of {} would make each line the text of one column
    given = {"format": "newline_delimited", "records": "true", "auto_detect": False, "sample_size": 1}
    options: dict[str, Any] = {**given, **read.kwargs}
    if read.kwargs.keys() & _JSON_TYPES:
        if not read.kwargs.keys() & {"format", "ignore_errors", "records"}:
            check_json_lines(files)
        every_row = {"sample_size": -1, "maximum_sample_files": 2**31, **read.kwargs}
        options = {**options, **every_row, "auto_detect": "columns" not in options}
        return f"SELECT * FROM {_call('read_json', files, options)}"
    if read.schema is not None:
        if not read.kwargs.get("ignore_errors"):
            options = {**_room_for(check_json_lines(files, declared_schema(read))), **options}
        raw = {name: _json_type(dtype, name) for name, dtype in read.schema.items()}
        columns = ", ".join(
            f"{_strict(identifier(name), dtype, name)} AS {identifier(name)}" for name, dtype in read.schema.items()
        )
        return f"SELECT {columns} FROM {_call('read_json', files, {**options, 'columns': raw})}"
    schema, _, longest = infer_json_lines(files)
    if not schema:
        return no_rows(read)
    options = {**_room_for(longest), **options}
    refuse_names(schema, repr(read.path))
    types = {name: duckdb_type(dtype) for name, dtype in schema.items()}
    return f"SELECT * FROM {_call('read_json', files, {**options, 'columns': types})}"


def _room_for(longest: int) -> dict[str, int]:
    """Room for the longest line, where it is longer than the reader takes by itself."""
    return {"maximum_object_size": longest + 1} if longest else {}


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
    return "VARCHAR" if _written(dtype) else duckdb_type(dtype)


# ---- Parquet -------------------------------------------------------------------------------------


def _scan_parquet(read: FileRead, files: Sequence[str], con: duckdb.DuckDBPyConnection) -> str | pl.LazyFrame:
    del con
    if read.kwargs.keys() & _PARQUET_TYPES:
        return f"SELECT * FROM {_call('read_parquet', files, {'union_by_name': True, **read.kwargs})}"
    schemas = {file: checked_scan(file, "PARQUET").collect_schema() for file in files}
    united = unite_schemas(files, list(schemas.values()))
    folders = keys_of(read, files)
    refuse_conflicts(folders, schemas, lambda file: scan_file(file, "PARQUET"))
    keys = {name: dtype for name, dtype in key_types(folders).items() if name not in united}
    refuse_names(nw.Schema.from_polars(united), repr(read.path))
    if not folders and not read.kwargs and any(map(_is_wide, united.values())):
        # only Polars knows how it writes integers of 128 bits
        parts = [fit(scan_file(file, "PARQUET"), united) for file in files]
        return _as_declared(pl.concat(parts), read)
    declared = declared_schema(read)
    if declared is not None:
        check_declared({**united, **dict.fromkeys(keys, pl.Null())}, declared, read.path)
    wanted = declared if declared is not None else {**united, **dict.fromkeys(keys)}
    as_told = pl.Schema({name: declared[name] if declared and name in declared else keys[name] for name in keys})
    # only the type with a zone minds an offset
    hive_types = {
        name: "TIMESTAMPTZ" if isinstance(dtype, nw.Datetime) else duckdb_type(dtype)
        for name, dtype in nw.Schema.from_polars(as_told).items()
    }
    # the statistics of other writers leave NaN out, and DuckDB would skip the rows that hold it
    options: dict[str, Any] = {"hive_partitioning": bool(keys), "can_have_nan": True}
    options |= {**({"hive_types": hive_types} if keys else {}), **read.kwargs}
    if not wanted:
        msg = f"{read.path!r} holds no column"
        raise SourceError(msg)
    queries = []
    # the names and types of a group are equal, so that one scan reads it
    for _, group in groupby(files, lambda file: sorted(schemas[file].items(), key=str)):
        members = list(group)
        found = schemas[members[0]]
        columns = [
            _parquet_column(name, found.get(name), dtype, inside=name in found or name in keys)
            for name, dtype in wanted.items()
        ]
        queries.append(f"SELECT {', '.join(columns)} FROM {_call('read_parquet', members, options)}")
    return " UNION ALL ".join(queries)


def _is_wide(dtype: Any) -> bool:
    if isinstance(dtype, pl.Struct):
        return any(_is_wide(field.dtype) for field in dtype.fields)
    return _is_wide(dtype.inner) if isinstance(dtype, (pl.List, pl.Array)) else dtype in {pl.Int128, pl.UInt128}


def _parquet_column(name: str, found: Any, wanted: Any, *, inside: bool) -> str:
    column = identifier(name)
    value = column if inside else "NULL"
    if found == pl.Duration:
        # Polars keeps durations as integers that only it knows to be durations
        value = f"to_microseconds({column}{_MICROSECONDS[found.time_unit]})"
    elif _is_wide(found):
        msg = f"column {name!r} is {found}, which DUCKDB does not read from PARQUET"
        raise SourceError(msg)
    if wanted is None or wanted in {found, pl.Null}:
        return f"{value} AS {column}"
    return f"{_converted(value, found, wanted, name)} AS {column}"


def _converted(value: str, found: Any, wanted: Any, where: str, depth: int = 0) -> str:
    """A value of one type as another; a number that this only holds a neighbour of is an error."""
    if isinstance(found, pl.Struct) and isinstance(wanted, pl.Struct) and rounds(found, wanted):
        inner = {field.name: field.dtype for field in found.fields}
        fields = [
            f"{identifier(name)} := "
            + _converted(f"struct_extract({value}, {literal(name)})", inner[name], dtype, f"{where}.{name}", depth)
            for name, dtype in ((field.name, field.dtype) for field in wanted.fields)
        ]
        return f"CASE WHEN {value} IS NOT NULL THEN struct_pack({', '.join(fields)}) END"
    if isinstance(found, (pl.List, pl.Array)) and isinstance(wanted, (pl.List, pl.Array)) and rounds(found, wanted):
        item = _converted(f"x{depth}", found.inner, wanted.inner, f"{where}[]", depth + 1)
        return f"list_transform({value}, lambda x{depth}: {item})"
    made = nw.Schema.from_polars(pl.Schema({where: wanted}))[where]
    if isinstance(made, nw.Datetime) and isinstance(found, pl.Datetime) and _is_finer(found, made):
        return _cut(_cut_nanoseconds(value) if found.time_unit == "ns" else value, made)
    kind, fits = duckdb_type(made), ""
    if found is not None and (limit := whole_limit(found, wanted)) is not None:
        fits = f"{value} BETWEEN {-limit} AND {limit}"
    elif found == pl.Float64 and wanted == pl.Float32:
        fits = f"TRY_CAST({value} AS {kind}) IS NOT NULL"
    cast = f"CAST({value} AS {kind})"
    return f"CASE WHEN {fits} OR {value} IS NULL THEN {cast} ELSE {_fault(value, made, where)} END" if fits else cast


_SCANS: dict[str, Callable[[FileRead, Sequence[str], Any], str | pl.LazyFrame]] = {
    "CSV": _scan_csv,
    "JSONL": _scan_json_lines,
    "NDJSON": _scan_json_lines,
    "PARQUET": _scan_parquet,
}


# ---- through Polars ------------------------------------------------------------------------------


def _is_finer(found: pl.Datetime, wanted: nw.Datetime) -> bool:
    units = ("s", "ms", "us", "ns")
    return units.index(found.time_unit) > units.index(wanted.time_unit)


def _as_declared(frame: pl.LazyFrame, read: FileRead) -> pl.LazyFrame:
    declared = declared_schema(read)
    if declared is None:
        return frame
    check_declared(frame.collect_schema(), declared, read.path)
    return fit(frame, declared)


# ---- values --------------------------------------------------------------------------------------


_INTEGERS = (nw.Int8, nw.Int16, nw.Int32, nw.Int64, nw.Int128, nw.UInt8, nw.UInt16, nw.UInt32, nw.UInt64)
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_OFFSET = "(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)"


def _written(dtype: Any) -> str | None:
    """How JSON writes types of which DuckDB takes more than that: 1.5 as 2, 7 as true."""
    if isinstance(dtype, nw.Decimal):
        whole = r"[0-9]+(?:[eE]\+?[0-9]+)?"
        return rf"[+-]?(?:{whole}|[0-9]*\.?[0-9]{{0,{dtype.scale or 0}}}0*)"
    if isinstance(dtype, nw.Datetime):
        # what has an offset goes through a type of microseconds
        seconds = r"(?:\.[0-9]{1,6})?" if dtype.time_unit == "ns" else r"(?:\.[0-9]+)?"
        return rf"{_DATE}(?:[T ][0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}}(?:{seconds}{_OFFSET}?|\.[0-9]+Z?))?)?"
    if isinstance(dtype, _INTEGERS):
        return "[+-]?[0-9]+"
    if isinstance(dtype, nw.Time):
        return r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
    return "true|false" if dtype == nw.Boolean else _DATE if dtype == nw.Date else None


def _as_datetime(value: str, dtype: nw.Datetime) -> str:
    """Text as datetime: in UTC if it has an offset, and cut to the declared unit."""
    if dtype.time_zone is not None:
        return _cut(f"CAST({value} AS TIMESTAMPTZ)", dtype)
    utc = f"(CAST({value} AS TIMESTAMPTZ) AT TIME ZONE 'UTC')"
    if dtype.time_unit == "ns":
        has_offset = f"regexp_matches({value}, ':[0-9.]*[+-][0-9:]+$')"
        return f"CASE WHEN {has_offset} THEN CAST({utc} AS TIMESTAMP_NS) ELSE CAST({value} AS TIMESTAMP_NS) END"
    return _cut(utc, dtype)


def _cut(value: str, dtype: nw.Datetime) -> str:
    """A datetime in a coarser unit: cut, where DuckDB would round."""
    unit = {"s": "second", "ms": "millisecond", "us": "microsecond", "ns": "microsecond"}[dtype.time_unit]
    return f"CAST(date_trunc('{unit}', {value}) AS {duckdb_type(dtype)})"


def _cut_nanoseconds(value: str) -> str:
    """A datetime in nanoseconds as one in microseconds, earlier or the same; every cast of DuckDB would round."""
    whole = f"epoch_ns({value})"
    return f"make_timestamp(({whole} - ({whole} % 1000 + 1000) % 1000) // 1000)"


def _strict(value: str, dtype: Any, where: str, depth: int = 0) -> str:
    """Text made the declared type. A fraction is no integer, where DuckDB would round it."""
    kind = duckdb_type(dtype)
    if isinstance(dtype, nw.Struct):
        fields = [
            f"{identifier(f.name)} := "
            + _strict(f"{value}.{identifier(f.name)}", _made(f.dtype), f"{where}.{f.name}", depth)
            for f in dtype.fields
        ]
        return f"CASE WHEN {value} IS NOT NULL THEN struct_pack({', '.join(fields)}) END"
    if isinstance(dtype, (nw.List, nw.Array)):
        inner = _strict(f"x{depth}", _made(dtype.inner), f"{where}[]", depth + 1)
        return f"CAST(list_transform({value}, lambda x{depth}: {inner}) AS {kind})"
    if isinstance(dtype, nw.String):
        return value
    fits = f"TRY_CAST({value} AS {kind}) IS NOT NULL"
    if pattern := _written(dtype):
        fits += f" AND regexp_full_match({value}, '{pattern}')"
    made = _as_datetime(value, dtype) if isinstance(dtype, nw.Datetime) else f"CAST({value} AS {kind})"
    return f"CASE WHEN {value} IS NULL THEN NULL WHEN {fits} THEN {made} ELSE {_fault(value, dtype, where)} END"


def _fault(value: str, dtype: Any, where: str) -> str:
    """An expression that fails with the value and the type that does not hold it."""
    kind = type(dtype).__name__ if isinstance(dtype, nw.Datetime) else dtype
    start, end = literal(f"{SOURCE_MARK}column {where!r}: '"), literal(f"' is no {kind}")
    return f"error(concat({start}, {value}, {end}))"


def _made(dtype: Any) -> Any:
    return dtype() if isinstance(dtype, type) else dtype


def _call(function: str, files: Sequence[str], options: Mapping[str, Any]) -> str:
    paths = literal([_escaped(file) for file in files])
    arguments = "".join(f", {name} = {literal(value)}" for name, value in options.items())
    return f"{function}({paths}{arguments})"


def _escaped(file: str) -> str:
    """A path DuckDB takes as it is, not as a glob."""
    escaped = "".join(f"[{char}]" if char in "*?[" else char for char in file)
    return f"./{escaped}" if file.startswith("~") else escaped
