"""Frames → staged files, each row computed once."""

# ruff: noqa: S608 - names and values are quoted by `identifier` and `literal`

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import narwhals as nw

from laktory.engines import arrow_files
from laktory.engines._duckdb.failures import SINK_MARK
from laktory.engines._duckdb.sharing import share
from laktory.engines._duckdb.storing import (
    UNSTORABLE,
    as_csv,
    as_json,
    columns_of,
    stored,
    stored_columns,
    stored_schema,
)
from laktory.engines._duckdb.types import identifier, literal
from laktory.engines.errors import check_arguments, check_compression
from laktory.engines.formats import compression_of, extension, name_parts, refuse_types
from laktory.engines.hive import NULL_TEXT, check_partitions, null_text_problem
from laktory.engines.protocol import Output, Staged
from laktory.errors import SinkError, UnsupportedError
from laktory.optional import require

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import duckdb

__all__ = ["stage_outputs"]

_TEXT = frozenset({"compression", "dateformat", "timestampformat"})
_OPTIONS = {
    "PARQUET": frozenset({
        "bloom_filter_false_positive_ratio", "compression", "compression_level", "dictionary_size_limit",
        "parquet_version", "row_group_size", "row_group_size_bytes", "row_groups_per_file",
        "string_dictionary_page_size_limit",
    }),
    "CSV": _TEXT | {"delim", "delimiter", "escape", "force_quote", "header", "null", "nullstr", "quote", "sep"},
    "JSON": _TEXT,
    "JSONL": _TEXT,
    "NDJSON": _TEXT,
    "IPC": frozenset({"compression"}),
}  # fmt: skip
_TEXT_FORMATS = frozenset({"CSV", "JSON", "JSONL", "NDJSON"})
_COMPRESSIONS = {
    "PARQUET": frozenset({"brotli", "gzip", "lz4", "lz4_raw", "snappy", "uncompressed", "zstd"}),
    "IPC": frozenset({"lz4", "uncompressed", "zstd"}),
    **dict.fromkeys(_TEXT_FORMATS, frozenset({"auto", "gzip", "none", "zstd"})),
}
_THROUGH_POLARS = frozenset({"AVRO", "EXCEL"})


@dataclass(slots=True)
class _Group:
    """Outputs of one frame."""

    relation: duckdb.DuckDBPyRelation
    members: list[int]


def stage_outputs(
    outputs: Sequence[Output],
    con: duckdb.DuckDBPyConnection,
    unique: Callable[[str], str],
    queries: Mapping[duckdb.DuckDBPyRelation, str],
) -> list[Staged]:
    """Write all outputs.

    A frame with several outputs is evaluated once, into its first Parquet output, else into a temporary table; the
    others are made from there. What different frames have in common is put into a temporary table first.

    Parameters
    ----------
    outputs : what to write
    con : the connection of the frames
    unique : gives names nothing else has
    queries : text of relations that are one query of `con`

    Raises
    ------
    SinkError
        A type, a column or an argument does not fit the format.
    """
    groups: dict[int, _Group] = {}
    for index, output in enumerate(outputs):
        relation = nw.to_native(output.frame)
        _check(output, relation)
        groups.setdefault(id(relation), _Group(relation, [])).members.append(index)
    tables: list[str] = []

    def table(query: str) -> str:
        tables.append(unique("stage"))
        con.execute(f"CREATE TEMP TABLE {identifier(tables[-1])} AS {query}")
        return tables[-1]

    staged: dict[int, Staged] = {}
    try:
        relations = share(con, [group.relation for group in groups.values()], table)
        for group, relation in zip(groups.values(), relations, strict=True):
            staged |= _write_group(outputs, group.members, relation, con, table, queries)
    finally:
        for name in tables:
            con.execute(f"DROP TABLE IF EXISTS {identifier(name)}")
    return [staged[index] for index in range(len(outputs))]


def _write_group(
    outputs: Sequence[Output],
    members: Sequence[int],
    relation: duckdb.DuckDBPyRelation,
    con: duckdb.DuckDBPyConnection,
    table: Callable[[str], str],
    queries: Mapping[duckdb.DuckDBPyRelation, str],
) -> dict[int, Staged]:
    done: dict[int, Staged] = {}
    source = relation
    if len(members) > 1:
        keeper = next((i for i in members if outputs[i].format == "PARQUET" and not outputs[i].partition_by), None)
        if keeper is None:
            source = con.table(table(relation.sql_query()))
        else:
            done[keeper] = _write(outputs[keeper], relation, con, queries.get(relation))
            files = literal([_literal_path(file) for file in done[keeper].files])
            source = con.sql(f"SELECT * FROM read_parquet({files}, hive_partitioning = false)")
    for index in members:
        if index not in done:
            done[index] = _write(outputs[index], source, con, queries.get(source))
    return done


def writer_arguments(format: str, *, directory: bool = False) -> Collection[str]:  # noqa: A002
    """Keyword arguments of the writer of a format; of one that writes a directory of files."""
    if format in _THROUGH_POLARS:
        return arrow_files.writer_arguments(format)
    return _OPTIONS[format] | ({"file_size_bytes", "partition_by"} if directory else set())


def _check(output: Output, relation: duckdb.DuckDBPyRelation) -> None:
    if output.methods:
        msg = f"{output.path!r}: the DUCKDB engine has no writer methods, only writer arguments"
        raise UnsupportedError(msg)
    columns = columns_of(relation)
    for name, dtype in columns:
        if where := _unstorable(dtype, name):
            column, kind = where
            named = {"INTERVAL": "Duration"}.get(kind, kind)
            msg = f"{output.path!r}: {output.format} cannot hold column {column!r}, type {named}"
            msg = f"{msg}; cast it in the transformer"
            raise SinkError(msg)
    refuse_types(stored_schema(relation), output.format, output.path)
    valid = writer_arguments(output.format, directory=output.directory)
    check_arguments(output.kwargs, valid, f"the {output.format} writer", SinkError)
    if output.format in _THROUGH_POLARS:
        return
    if output.format in _COMPRESSIONS:
        check_compression(output.kwargs, _COMPRESSIONS[output.format], f"the {output.format} writer", SinkError)
    if output.format in _TEXT_FORMATS:
        compression_of(output.path + output.ending, output.format)
    check_partitions(output, stored_schema(relation))


def _unstorable(dtype: Any, where: str) -> tuple[str, str] | None:
    if dtype.id in UNSTORABLE:
        return where, str(dtype)
    if dtype.id in {"struct", "list", "map", "array"}:
        for name, inner in dtype.children:
            if name != "size" and (
                found := _unstorable(inner, f"{where}.{name}" if dtype.id == "struct" else f"{where}[]")
            ):
                return found
    return None


def _write(
    output: Output, relation: duckdb.DuckDBPyRelation, con: duckdb.DuckDBPyConnection, text: str | None
) -> Staged:
    if output.format in _THROUGH_POLARS:
        frame = stored(relation).pl()
        arrow_files.write_file(frame, _file(output), output.format, output.kwargs)
        return Staged((_file(output),), frame.height)
    if output.format == "IPC":
        return _write_ipc(output, stored(relation))
    many = "file_size_bytes" in output.kwargs or bool(output.partition_by)
    target = str(Path(output.path).absolute()) if many else _file(output)
    columns = _columns(output, relation)
    options = ", ".join(f"{name} {value}" for name, value in _options(output, many=many).items())
    source = "laktory_frame" if text is None else f"({text})"
    query = _without_null_texts(output, relation, f"SELECT {columns} FROM {source}")
    if text is None:
        # around the relation itself: nothing is rendered as text and parsed again
        con.register(source, relation)
    try:
        con.execute(f"COPY ({query}) TO {literal(target)} ({options})")
        [(rows, files)] = con.fetchall()
    finally:
        if text is None:
            con.unregister(source)
    return Staged(
        name_parts(output.path, output.stem, output.format, output.ending)
        if many
        else tuple(map(str, files or (target,))),
        int(rows),
    )


def _without_null_texts(output: Output, relation: duckdb.DuckDBPyRelation, query: str) -> str:
    """The query, which fails at a text in a partition column that would be read as NULL."""
    checks = []
    for name in output.partition_by:
        if stored_schema(relation)[name] == nw.String:
            column, fault = identifier(name), literal(SINK_MARK + null_text_problem(output.path, name))
            checks.append(
                f"CASE WHEN {column} = {literal(NULL_TEXT)} THEN error({fault}) ELSE {column} END AS {column}"
            )
    return f"SELECT * REPLACE ({', '.join(checks)}) FROM ({query})" if checks else query


def _columns(output: Output, relation: duckdb.DuckDBPyRelation) -> str:
    if output.format == "PARQUET" or output.kwargs.keys() & {"dateformat", "timestampformat"}:
        return stored_columns(relation)
    convert = as_csv if output.format == "CSV" else as_json
    return ", ".join(
        f"{convert(identifier(name), dtype)} AS {identifier(name)}" for name, dtype in columns_of(relation)
    )


def _options(output: Output, *, many: bool) -> dict[str, str]:
    given = {name: _option(value) for name, value in output.kwargs.items()}
    options = {"FORMAT": {"PARQUET": "parquet", "CSV": "csv"}.get(output.format, "json"), "RETURN_FILES": "true"}
    if output.format == "PARQUET":
        options |= {"compression": "zstd"}
    else:
        options |= {"compression": compression_of(output.path + output.ending, output.format) or "none"}
    if output.format == "CSV":
        options |= {"header": literal(output.header)}
    if output.format == "JSON":
        options |= {"ARRAY": "true"}
    if many:
        options |= {"FILE_EXTENSION": literal(extension(output.format)[1:]), "OVERWRITE_OR_IGNORE": "true"}
    if keys := output.partition_by:
        # only Parquet gets the columns back from the names of the folders
        options["PARTITION_BY"] = f"({', '.join(map(identifier, keys))})"
        options["WRITE_PARTITION_COLUMNS"] = literal(output.format != "PARQUET")
    return options | given


def _option(value: Any) -> str:
    """A value of an option of COPY. Column lists are names in parentheses."""
    if isinstance(value, (list, tuple)):
        return f"({', '.join(identifier(str(item)) for item in value)})"
    return literal(value)


def _write_ipc(output: Output, relation: duckdb.DuckDBPyRelation) -> Staged:
    ipc = require("pyarrow.ipc", "writing IPC")
    compression = output.kwargs.get("compression")
    options = ipc.IpcWriteOptions(compression=None if compression == "uncompressed" else compression)
    path = _file(output)
    rows = 0
    with relation.to_arrow_reader() as reader, ipc.new_file(path, reader.schema, options=options) as writer:
        for batch in reader:
            writer.write_batch(batch)
            rows += batch.num_rows
    return Staged((path,), rows)


def _file(output: Output) -> str:
    name = f"{output.stem}-00000{extension(output.format)}{output.ending}"
    return str(Path(output.path).absolute() / name) if output.directory else str(Path(output.path).absolute())


def _literal_path(file: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in file)
