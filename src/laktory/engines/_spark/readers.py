"""Files → a frame of Spark."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from laktory.diagnostics.secrets import redact
from laktory.engines._polars.session import PolarsSession
from laktory.engines._spark.failures import is_failure, message_of
from laktory.engines._spark.types import is_plain, spark_schema, with_one_nan
from laktory.engines.arrow_files import check_documents
from laktory.engines.delta_tables import open_delta
from laktory.engines.errors import check_arguments, reason
from laktory.engines.hive import keys_of
from laktory.engines.inference import check_json_lines
from laktory.engines.scans import checked_scan
from laktory.engines.schemas import check_declared, declared_schema
from laktory.errors import SourceError, UnsupportedError
from laktory.paths import local_path

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from laktory.engines._spark.places import PlainPaths
    from laktory.engines.protocol import FileRead

__all__ = [
    "for_polars",
    "has_nan",
    "is_true",
    "reader_arguments",
    "reader_methods",
    "scan_elsewhere",
    "scan_files",
    "scan_parquet",
    "with_options",
]

_FILES = frozenset({
    "basePath", "ignoreCorruptFiles", "ignoreMissingFiles", "modifiedAfter", "modifiedBefore", "pathGlobFilter",
    "recursiveFileLookup",
})  # fmt: skip
_TEXT = frozenset({
    "columnNameOfCorruptRecord", "compression", "dateFormat", "encoding", "charset", "lineSep", "locale", "mode",
    "multiLine", "samplingRatio", "timeZone", "timestampFormat", "timestampNTZFormat", "enableDateTimeParsingFallback",
})  # fmt: skip
_JSON = _FILES | _TEXT | {
    "allowBackslashEscapingAnyCharacter", "allowComments", "allowNonNumericNumbers", "allowNumericLeadingZeros",
    "allowSingleQuotes", "allowUnquotedControlChars", "allowUnquotedFieldNames", "dropFieldIfAllNull",
    "prefersDecimal", "primitivesAsString", "singleVariantColumn", "useUnsafeRow",
}  # fmt: skip
_ARGUMENTS: dict[str, Collection[str]] = {
    "AVRO": _FILES | {"avroSchema", "datetimeRebaseMode", "positionalFieldMatching", "recursiveFieldMaxDepth"},
    "BINARYFILE": _FILES,
    "CSV": _FILES | _TEXT | {
        "charToEscapeQuoteEscaping", "comment", "delimiter", "emptyValue", "enforceSchema", "escape", "header",
        "ignoreLeadingWhiteSpace", "ignoreTrailingWhiteSpace", "inferSchema", "maxCharsPerColumn", "maxColumns",
        "negativeInf", "nanValue", "nullValue", "positiveInf", "preferDate", "quote", "sep", "unescapedQuoteHandling",
    },
    "DELTA": {
        "endingVersion", "ignoreDeletes", "readChangeFeed", "skipChangeCommits", "startingTimestamp", "startingVersion",
        "timestampAsOf", "versionAsOf",
    },
    "JSON": _JSON,
    "JSONL": _JSON,
    "NDJSON": _JSON,
    "ORC": _FILES | {"mergeSchema"},
    "PARQUET": _FILES | {"datetimeRebaseMode", "int96RebaseMode", "mergeSchema"},
    "TEXT": _FILES | {"lineSep", "wholetext"},
    "XML": _FILES | _TEXT | {
        "arrayElementName", "attributePrefix", "excludeAttribute", "ignoreNamespace", "ignoreSurroundingSpaces",
        "inferSchema", "nullValue", "rowTag", "rowValidationXSDPath", "valueTag", "wildcardColName",
    },
}  # fmt: skip
_ON_SAIL: dict[str, Collection[str]] = {
    "CSV": {"comment", "delimiter", "header", "inferSchema", "nullValue", "quote", "sep"},
    "DELTA": {"timestampAsOf", "versionAsOf"},
    "JSON": (),
    "JSONL": (),
    "NDJSON": (),
    "PARQUET": {"mergeSchema"},
    "TEXT": {"lineSep", "wholetext"},
}
"""Of the others Sail takes no notice. It reads text otherwise than Spark, too: Polars does it."""
_IN_POLARS = {
    "comment": "comment_prefix", "delimiter": "separator", "nullValue": "null_values", "quote": "quote_char",
    "sep": "separator",
}  # fmt: skip
_NAMES = {"JSONL": "json", "NDJSON": "json", "BINARYFILE": "binaryFile"}
_ALWAYS = frozenset({"BINARYFILE", "XML"})
_TYPED = frozenset({"DELTA", "PARQUET"})
_TEXT_FORMATS = frozenset({"CSV", "JSON", "JSONL", "NDJSON"})
_UNTYPED = _TEXT_FORMATS | {"XML"}


def reader_arguments(format: str, *, sail: bool) -> Collection[str]:  # noqa: A002
    """Options of Spark's reader of a format; where it has none, arguments of what reads it for Spark."""
    own = _ON_SAIL.get(format) if sail else _ARGUMENTS.get(format)
    return PolarsSession.arguments(format) if own is None else own


def reader_methods() -> list[str]:
    """Methods of a reader that give it back."""
    return ["option", "options", "schema"]


def with_options(read: FileRead, *, sail: bool) -> FileRead:
    """The read with the options of its methods among its arguments, all in the spelling of their list.

    Raises
    ------
    SourceError
        The reader has no such option.
    UnsupportedError
        A method is another one.
    """
    kwargs, methods = dict(read.kwargs), []
    for name, args, given in read.methods:
        try:
            if name == "option":
                kwargs |= _option(*args, **given)
            elif name == "options":
                kwargs |= _options(*args, **given)
            elif name == "schema" and not sail:
                methods.append((name, args, given))
            else:
                msg = f"reader method {name!r}: with the PYSPARK engine, only {', '.join(reader_methods())}"
                raise UnsupportedError(f"{msg}{'; with Sail, declare the columns in the schema' if sail else ''}")
        except TypeError as error:
            msg = f"reader method {name!r}: {reason(error)}"
            raise SourceError(msg) from error
    valid = reader_arguments(read.format, sail=sail)
    spelled = {name.lower(): name for name in valid}
    kwargs = {spelled.get(name.lower(), name): value for name, value in kwargs.items()}
    check_arguments(kwargs, valid, f"the {read.format} reader")
    if read.format == "PARQUET" and is_true(kwargs.get("mergeSchema", False)):
        del kwargs["mergeSchema"]  # columns of several files are always united
    return replace(read, kwargs=kwargs, methods=tuple(methods))


def _option(key: str, value: Any) -> dict[str, Any]:
    return {key: value}


def _options(**options: Any) -> dict[str, Any]:
    return options


def is_true(value: Any) -> bool:
    """An option of Spark, which may be a text."""
    return str(value).lower() == "true"


def for_polars(read: FileRead) -> FileRead:
    """A read of Sail for which Polars does the reading, in the words of Polars."""
    if read.format != "CSV":
        return read
    kwargs = {_IN_POLARS[name]: value for name, value in read.kwargs.items() if name in _IN_POLARS}
    return replace(
        read,
        kwargs=kwargs,
        has_header=is_true(read.kwargs.get("header", read.has_header)),
        infer_schema=is_true(read.kwargs.get("inferSchema", read.infer_schema)),
    )


def scan_parquet(files: Sequence[str], schema: pl.Schema, spark: SparkSession, *, sail: bool) -> DataFrame:
    """Files of plain paths and known columns, so that Spark runs no job to learn them; Sail looks for itself."""
    reader = spark.read if sail else spark.read.schema(spark_schema(schema))
    return with_one_nan(reader.parquet(*files))


def scan_files(
    read: FileRead, files: Sequence[str], spark: SparkSession, places: PlainPaths, *, sail: bool
) -> DataFrame | None:
    """The rows of these files by Spark's own reader; None if Spark reads them otherwise than other engines.

    Text is read as on other engines unless options of Spark are given: they are its own words for something else.

    Raises
    ------
    SourceError
        Not what `schema` declares, or damaged.
    """
    local = all(local_path(file) is not None for file in files)
    plain = not read.kwargs and not read.methods
    if local and plain and read.format in _TYPED:
        return _typed(read, files, spark, places, sail=sail)
    asked = not plain and read.format in (_ON_SAIL if sail else _ARGUMENTS)
    # Spark's own settings lead it to URLs
    if not (asked or read.format in _ALWAYS or not (local or sail)) or (sail and read.format in _TEXT_FORMATS):
        return None
    if read.rows is not None:
        msg = f"{read.path!r}: a part of its rows cannot be read with reader options; leave them out"
        raise SourceError(msg)
    options = _computed(read) | dict(read.kwargs)
    _check_records(read, files, options)
    # binary files tell the path of each
    linked = local and read.format != "BINARYFILE"
    paths = places.all_of(files) if linked else list(map(_literal, files))
    return _loaded(read, options, paths, spark)


def scan_elsewhere(read: FileRead, spark: SparkSession, *, sail: bool) -> DataFrame:
    """What Spark's own reader finds at a path that only Spark sees.

    Raises
    ------
    SourceError
        It finds nothing, or not what `schema` declares.
    UnsupportedError
        Spark has no reader of the format, or Sail would say nothing of a file that is not there.
    """
    where = f"{read.path!r} is looked for where Spark is, which sees no file of this machine"
    if sail:
        msg = f"{where}, and Sail takes a file that is not there for one without rows; read a table, or a node"
        raise UnsupportedError(f"{msg} of another engine that reads the file here")
    if read.format not in _ARGUMENTS:
        msg = f"{where}, and Spark itself reads no {read.format}; let a node of another engine read the file here"
        raise UnsupportedError(msg)
    try:
        frame = _loaded(read, _computed(read) | dict(read.kwargs), [read.path], spark)
        frame.schema  # noqa: B018 - over Connect, a plan is looked at when its columns are asked for
    except Exception as error:
        if not is_failure(error):
            raise
        msg = f"{where}: {message_of(error)}"
        raise SourceError(redact(msg)) from error
    return frame


def _loaded(read: FileRead, options: Mapping[str, Any], paths: Sequence[str], spark: SparkSession) -> DataFrame:
    """What Spark's own reader makes of paths."""
    reader = spark.read.format(_NAMES.get(read.format, read.format.lower())).options(**options)
    declared = declared_schema(read)
    if declared is not None and read.format in _UNTYPED:
        reader = reader.schema(spark_schema(declared))
    for name, args, kwargs in read.methods:
        try:
            reader = getattr(reader, name)(*args, **kwargs)
        except (TypeError, ValueError) as error:
            msg = f"reader method {name!r}: {reason(error)}"
            raise SourceError(msg) from error
    frame = reader.load(list(paths))
    if read.format == "XML" and not frame.columns:
        msg = f"{read.path!r} holds no element <{options['rowTag']}>; the option 'rowTag' names those that are rows"
        raise SourceError(msg)
    if read.format in _TYPED:
        frame = with_one_nan(frame)
    return frame if declared is None or read.format in _UNTYPED else _as_declared(frame, declared, read)


def _as_declared(frame: DataFrame, declared: pl.Schema, read: FileRead) -> DataFrame:
    found = nw.from_native(frame).collect_schema().to_polars()
    check_declared(found, declared, read.path)
    for name, dtype in declared.items():
        if found[name] != dtype:
            msg = f"{read.path!r}: column {name!r} is {found[name]}, but 'schema' declares {dtype}"
            raise SourceError(f"{msg}, which it has to be for Spark's own reader (of URLs, and with options)")
    return frame.select(*map(_quoted, declared))


def _computed(read: FileRead) -> dict[str, Any]:
    """What is asked for unless the user says otherwise: nothing that cannot be read is left out without a word."""
    if read.format == "CSV":
        options = {"header": read.has_header, "inferSchema": read.infer_schema, "mode": "FAILFAST", "escape": '"'}
        # else a declared schema is that of the columns in their order, whatever the header calls them,
        # and an empty text in quotes is NULL, too
        return options | {"enforceSchema": False, "nullValue": "\0"}
    if read.format in {"JSON", "JSONL", "NDJSON"}:
        return {"multiLine": read.format == "JSON", "mode": "FAILFAST"}
    if read.format == "XML":
        return {"inferSchema": True, "mode": "FAILFAST", "rowTag": "row"}
    return {}


def _check_records(read: FileRead, files: Sequence[str], options: Mapping[str, Any]) -> None:
    """Spark reads the first record of a line, or of a file, and leaves out what comes after it without a word."""
    local = [file for file in files if local_path(file) is not None]
    if read.format == "DELTA" and local:
        open_delta(read.path, options.get("versionAsOf", read.version), {})
    if read.format not in {"JSON", "JSONL", "NDJSON"} or str(options["mode"]).upper() != "FAILFAST":
        return
    own_words = {"charset", "encoding", "lineSep", *(name for name in options if name.startswith("allow"))}
    if options.keys() & own_words:
        return
    if is_true(options["multiLine"]):
        check_documents(local)
    else:
        check_json_lines(local)


def _typed(
    read: FileRead, files: Sequence[str], spark: SparkSession, places: PlainPaths, *, sail: bool
) -> DataFrame | None:
    """Files, or a table, with columns of one schema, all of whose types Spark has."""
    if read.rows is not None:
        return None
    version = read.version
    if read.format == "DELTA":
        rows, version = open_delta(read.path, read.version, {})
        schema = rows.collect_schema()
    else:
        if keys_of(read, files):
            return None
        schemas = [checked_scan(file, "PARQUET").collect_schema() for file in files]
        schema = schemas[0]
        if any(other != schema for other in schemas):
            return None
        rows = pl.scan_parquet(list(files), glob=False, hive_partitioning=False)
    declared = declared_schema(read)
    if declared is not None:
        check_declared(schema, declared, read.path)
        if any(schema[name] != dtype for name, dtype in declared.items()):
            return None
    if not schema or not is_plain(schema) or (sail and has_nan(rows)):
        return None
    paths = places.all_of(files)
    if read.format == "DELTA":
        frame = with_one_nan(spark.read.format("delta").option("versionAsOf", str(version)).load(paths[0]))
    else:
        frame = scan_parquet(paths, schema, spark, sail=sail)
    return frame if declared is None else frame.select(*map(_quoted, declared))


def has_nan(frame: pl.LazyFrame) -> bool:
    """Whether a column of fractions holds NaN, or cannot be read.

    Sail takes the limits in the statistics of a file or table for those of all values, though NaN is never counted in:
    it leaves out rows with NaN, or reads another value.
    """
    columns = [name for name, dtype in frame.collect_schema().items() if dtype.is_float()]
    if not columns:
        return False
    found = frame.select(pl.any_horizontal(pl.col(name).is_nan().any() for name in columns))
    try:
        return bool(found.collect(engine="streaming").item())
    except pl.exceptions.PolarsError:
        return True


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _literal(file: str) -> str:
    """A path Spark takes as it is, not as a pattern; absolute, for its process may work in another folder."""
    local = local_path(file)
    if local is None:
        return file
    file = str(Path(local).absolute())
    return "".join(f"\\{sign}" if sign in "*?[]{}\\" else sign for sign in file)
