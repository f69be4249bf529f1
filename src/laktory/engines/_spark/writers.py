"""Frames → staged files, each row computed once."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from laktory.engines._polars.session import PolarsSession
from laktory.engines._spark.readers import is_true
from laktory.engines.errors import check_arguments, check_compression, reason
from laktory.engines.formats import kinds_of, name_parts, refuse_types
from laktory.engines.hive import check_partitions
from laktory.engines.protocol import Output, Staged
from laktory.errors import SinkError, UnsupportedError
from laktory.optional import require
from laktory.storage.files import sink_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from pyspark.sql import DataFrame

    from laktory.engines._spark.places import PlainPaths

__all__ = ["stage_outputs", "writer_arguments"]

_TEXT = frozenset({
    "compression", "dateFormat", "encoding", "lineSep", "timestampFormat", "timestampNTZFormat", "timeZone",
})  # fmt: skip
_LINES = _TEXT | {"ignoreNullFields", "writeNonAsciiCharacterAsCodePoint"}
_OPTIONS: dict[str, Collection[str]] = {
    "CSV": _TEXT | {
        "charToEscapeQuoteEscaping", "delimiter", "emptyValue", "escape", "escapeQuotes", "header",
        "ignoreLeadingWhiteSpace", "ignoreTrailingWhiteSpace", "nullValue", "quote", "quoteAll", "sep",
    },
    "JSON": {"compression"},
    "JSONL": _LINES,
    "NDJSON": _LINES,
    "ORC": {"compression", "orc.bloom.filter.columns", "orc.dictionary.key.threshold"},
    "PARQUET": {"compression", "parquet.block.size", "parquet.bloom.filter.enabled", "parquet.enable.dictionary"},
    "XML": _TEXT | {"arrayElementName", "attributePrefix", "declaration", "nullValue", "rootTag", "rowTag", "valueTag"},
}  # fmt: skip
_IN_POLARS = {
    "delimiter": "separator", "header": "include_header", "nullValue": "null_value", "quote": "quote_char",
    "quoteAll": "quote_style", "sep": "separator",
}  # fmt: skip
_BY_POLARS: dict[str, Collection[str]] = {
    "CSV": {*_IN_POLARS, "compression"},
    **{name: {"compression"} for name in ("JSON", "JSONL", "NDJSON", "PARQUET")},
}
"""Options of Spark that Polars has, too: it writes partitions, and what Sail writes without a look at its options."""
_NAMES = {"JSONL": "json", "NDJSON": "json"}
_COUNTED = frozenset({"ORC", "PARQUET"})
"""Formats Spark always writes by itself, whose files tell how many rows they hold."""
_NATIVE = _COUNTED | {"XML"}
_OF_LINES = frozenset({"CSV", "JSONL", "NDJSON"})
"""Formats that Spark itself writes when it is given options of its own."""
_COMPRESSED = frozenset({"CSV", "JSON", "JSONL", "NDJSON", "XML"})
"""Formats of text, whose files say by their names how they are compressed."""
_COMPRESSIONS: dict[str, Collection[str]] = {
    **{name: {"gzip", "none", "uncompressed"} for name in _COMPRESSED},
    "ORC": {"lz4", "none", "snappy", "uncompressed", "zlib", "zstd"},
    "PARQUET": {"gzip", "lz4", "none", "snappy", "uncompressed", "zstd"},
}
_MICROS = "yyyy-MM-dd'T'HH:mm:ss.SSSSSS"
_COMPUTED: dict[str, Any] = {"timestampFormat": f"{_MICROS}XXX", "timestampNTZFormat": _MICROS}
_XML = {"attributePrefix": "@", "rowTag": "row", "valueTag": "_VALUE"}
_OF_SPARK = {
    "variant": "to_json(…) or variant_get(…)",
    "geometry": "st_asbinary(…)",
    "geography": "st_asbinary(…)",
}
"""Types that no other engine reads from files, by their names, and what to write instead."""
"""What is asked for unless the user says otherwise: Spark cuts times, texts and empty columns by itself, and makes
attributes of columns whose names begin with ``_``."""


def writer_arguments(format: str, *, directory: bool = False, sail: bool) -> Collection[str]:  # noqa: A002
    """Options of Spark's writer of a format; where it has none, arguments of what writes it for Spark."""
    own = (_BY_POLARS if sail and format != "PARQUET" else _OPTIONS).get(format)
    if own is None:
        return PolarsSession.arguments(format, writer=True, directory=directory)
    return set(own) | ({"partition_by"} if directory else set())


def stage_outputs(
    outputs: Sequence[Output],
    front: PolarsSession,
    new_folder: Callable[[], str],
    read: Callable[[Sequence[str]], DataFrame],
    places: PlainPaths,
    *,
    sail: bool,
) -> list[Staged]:
    """Write all outputs.

    A frame with several outputs is evaluated once, into its first Parquet output, else into an intermediate result;
    the others are made from there.

    Parameters
    ----------
    front : session of Polars, which writes what Spark does not write as other engines do
    new_folder : makes a folder for an intermediate result
    read : gives the rows of Parquet files
    places : gives paths that Spark takes

    Raises
    ------
    SinkError
        A type, a column or an argument does not fit the format.
    """
    outputs = [_checked(output, sail=sail) for output in outputs]
    groups: dict[int, list[int]] = {}
    for index, output in enumerate(outputs):
        groups.setdefault(id(nw.to_native(output.frame)), []).append(index)
    staged: dict[int, Staged] = {}
    for members in groups.values():
        frame = nw.to_native(outputs[members[0]].frame)
        counted = [index for index in members if _is_native(outputs[index], sail=sail)]
        counted = [index for index in counted if outputs[index].format in _COUNTED]
        # what is read again is Parquet; what is not may be ORC
        keeper = next((index for index in counted if len(members) == 1 or outputs[index].format == "PARQUET"), None)
        if keeper is not None:
            kept = staged[keeper] = _write(outputs[keeper], frame, places, sail=sail)
        else:
            between = Output(outputs[members[0]].frame, new_folder(), "PARQUET", directory=True)
            kept = _write(between, frame, places, sail=sail)
        for index in members:
            if index in staged:
                continue
            if _is_native(outputs[index], sail=sail):
                staged[index] = _write(outputs[index], read(kept.files), places, kept.rows, sail=sail)
            else:
                rows = replace(outputs[index], frame=nw.from_native(_scan(kept.files)))
                [staged[index]] = front.stage([_for_polars(rows)])
    return [staged[index] for index in range(len(outputs))]


def _checked(output: Output, *, sail: bool) -> Output:
    """The output with the options of its methods among its arguments, all of which its writer has."""
    kwargs = dict(output.kwargs)
    for name, args, given in output.methods:
        try:
            if name == "option":
                kwargs |= _option(*args, **given)
            elif name == "options":
                kwargs |= _options(*args, **given)
            else:
                msg = f"writer method {name!r}: only 'option' and 'options' can be called for files"
                hint = "; name the columns in 'partition_by' of 'writer_kwargs'" if name == "partitionBy" else ""
                raise UnsupportedError(msg + hint)
        except TypeError as error:
            msg = f"writer method {name!r}: {reason(error)}"
            raise SinkError(msg) from error
    schema, writer = output.frame.collect_schema(), f"the {output.format} writer"
    refuse_types(schema, output.format, output.path)
    _refuse_types_of_spark(output, schema)
    if output.format == "XML":
        _refuse_in_tags(schema.items(), {**_XML, **kwargs}, output.path)
    valid = writer_arguments(output.format, directory=output.directory, sail=sail)
    spelled = {name.lower(): name for name in valid}
    kwargs = {spelled.get(name.lower(), name): value for name, value in kwargs.items()}
    check_arguments(kwargs, valid, writer, SinkError)
    if output.format in _COMPRESSIONS:
        check_compression(kwargs, _COMPRESSIONS[output.format], writer, SinkError)
    if output.partition_by and (unknown := sorted(kwargs.keys() - set(_BY_POLARS.get(output.format, ())))):
        msg = f"{output.path!r}: {writer} of PYSPARK writes no partitions with {', '.join(map(repr, unknown))}"
        raise SinkError(f"{msg}; leave that out")
    ending = output.ending
    if output.directory and output.format in _COMPRESSED and "compression" in kwargs:
        ending = ".gz" if str(kwargs["compression"]).lower() == "gzip" else ""
    made = replace(output, kwargs=kwargs, methods=(), ending=ending)
    check_partitions(made, schema)
    return made


def _refuse_types_of_spark(output: Output, schema: nw.Schema) -> None:
    """Spark writes them to files that nobody else reads, itself included when it is told the columns."""
    if all(kind != "Unknown" for name, dtype in schema.items() for kind, _ in kinds_of(dtype, name)):
        return
    for field in nw.to_native(output.frame).schema.fields:
        for dtype in _with_inner(field.dataType):
            if (hint := _OF_SPARK.get(dtype.typeName())) is not None:
                found = f"type {dtype.typeName().upper()}"
                msg = f"{output.path!r}: {output.format} cannot hold column {field.name!r}, {found}"
                raise SinkError(f"{msg}; write {hint}")


def _with_inner(dtype: Any) -> Iterator[Any]:
    """A type of Spark and those inside it."""
    yield dtype
    parts = [getattr(dtype, name) for name in ("elementType", "keyType", "valueType") if hasattr(dtype, name)]
    for inner in [*parts, *(field.dataType for field in getattr(dtype, "fields", ()))]:
        yield from _with_inner(inner)


def _refuse_in_tags(columns: Iterable[tuple[str, Any]], options: Mapping[str, Any], path: str) -> None:
    """Spark writes what Java calls an object where an attribute, or the text beside elements, is no number or text."""
    for name, dtype in columns:
        plain = dtype.is_numeric() or isinstance(dtype, (nw.Boolean, nw.String))
        if not plain and (name == options["valueTag"] or name.startswith(options["attributePrefix"])):
            msg = f"{path!r}: XML cannot hold column {name!r}, {dtype}, as an attribute or bare text"
            raise SinkError(f"{msg}; rename it, cast it to text, or set 'attributePrefix' or 'valueTag'")
        inner = dtype
        while isinstance(inner, (nw.List, nw.Array)):
            inner = inner.inner
        if isinstance(inner, nw.Struct):
            _refuse_in_tags(((field.name, field.dtype) for field in inner.fields), options, path)


def _option(key: str, value: Any) -> dict[str, Any]:
    return {key: value}


def _options(**options: Any) -> dict[str, Any]:
    return options


def _is_native(output: Output, *, sail: bool) -> bool:
    """Whether Spark itself writes an output. Its partitions hold a NULL for an empty text."""
    if output.partition_by:
        return False
    return output.format in _NATIVE or (output.format in _OF_LINES and bool(output.kwargs) and not sail)


def _for_polars(output: Output) -> Output:
    """An output in the words of Polars."""
    if output.format not in _BY_POLARS:
        return output
    kwargs = dict(output.kwargs)
    compression = str(kwargs.pop("compression", "")).lower().replace("none", "uncompressed")
    # the ends of the names of text files in a directory say it
    if compression and not (output.directory and output.format in _COMPRESSED):
        kwargs["compression"] = compression
    for flag in kwargs.keys() & {"header", "quoteAll"}:
        kwargs[flag] = is_true(kwargs[flag])
    if "quoteAll" in kwargs:
        kwargs["quoteAll"] = "always" if kwargs["quoteAll"] else "necessary"
    kwargs = {_IN_POLARS.get(name, name): value for name, value in kwargs.items()}
    return replace(output, kwargs=kwargs)


def _write(output: Output, frame: DataFrame, places: PlainPaths, rows: int | None = None, *, sail: bool) -> Staged:
    """Let Spark write into a folder, then give its files their names; `rows` where they are known."""
    path = Path(output.path).absolute()
    work = (path if output.directory else path.parent) / f"spark-{token_hex(4)}"
    # Spark's words for a place where nothing can be made say little
    with sink_errors(f"write {output.path!r}"):
        work.mkdir()
    writer = frame.write.format(_NAMES.get(output.format, output.format.lower())).mode("overwrite")
    try:
        # Spark puts a folder of its own in the place of the last one, were that a link
        writer.options(**_writer_options(output)).save(f"{places.of(str(work.parent))}/{work.name}")
        for path in work.rglob("*"):
            if path.name.startswith(("_", ".")) and path.is_file():
                path.unlink()
        files = _named(output, work, empty=sail)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Staged(files, _rows(output.format, files) if rows is None else rows)


def _writer_options(output: Output) -> Mapping[str, Any]:
    options: dict[str, Any] = {}
    if output.format in {*_OF_LINES, "XML"}:
        options |= _COMPUTED
        if output.ending == ".zst":
            msg = f"{output.path!r}: with options of Spark, {output.format} is compressed as .gz only"
            raise SinkError(msg)
        options |= {"compression": "gzip"} if output.ending else {}
    if output.format == "CSV":
        blanks = dict.fromkeys(("ignoreLeadingWhiteSpace", "ignoreTrailingWhiteSpace"), False)
        options |= {"header": output.header, "escape": '"', **blanks}
    elif output.format in _OF_LINES:
        options |= {"ignoreNullFields": False}
    elif output.format == "XML":
        options |= _XML
    return options | dict(output.kwargs)


def _named(output: Output, work: Path, *, empty: bool) -> tuple[str, ...]:
    parts = name_parts(str(work), output.stem, output.format, output.ending)
    if not parts and not empty:
        msg = f"{output.path!r}: PYSPARK has written no file"
        raise SinkError(msg)
    if not parts:
        # Sail writes no file where there is no row, and with it no columns; it writes nothing else than Parquet
        work.mkdir(exist_ok=True)
        parts = (f"{work}/{output.stem}-00000.parquet",)
        pl.DataFrame(schema=output.frame.collect_schema().to_polars()).write_parquet(parts[0])
    if not output.directory:
        return (_one_file(parts, output),)
    return tuple(str(Path(part).rename(work.parent / Path(part).name)) for part in parts)


def _one_file(parts: Sequence[str], output: Output) -> str:
    target = Path(output.path).absolute()
    if len(parts) == 1:
        return str(Path(parts[0]).rename(target))
    if output.format != "PARQUET":
        msg = f"{output.path!r}: PYSPARK writes {output.format} as a directory; end the path with '/'"
        raise SinkError(msg)
    _scan(parts).sink_parquet(target)
    return str(target)


def _rows(format: str, files: Sequence[str]) -> int:  # noqa: A002
    """Rows that were written, as their files tell."""
    if format == "ORC":
        orc = require("pyarrow.orc", "the format ORC")
        return sum(int(orc.ORCFile(file).nrows) for file in files)
    return int(_scan(files).select(pl.len()).collect().item())


def _scan(files: Sequence[str]) -> pl.LazyFrame:
    return pl.scan_parquet(list(files), glob=False, hive_partitioning=False)
