"""Files → a frame of Spark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from laktory.engines._spark.types import is_plain, spark_schema, with_one_nan
from laktory.engines.errors import check_arguments, reason
from laktory.engines.hive import keys_of
from laktory.engines.scans import checked_scan
from laktory.engines.schemas import check_declared, declared_schema
from laktory.errors import SourceError, UnsupportedError
from laktory.paths import local_path

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import polars as pl
    from pyspark.sql import DataFrame, DataFrameReader, SparkSession

    from laktory.engines.protocol import FileRead

__all__ = ["is_native", "reader_arguments", "reader_methods", "scan_files", "scan_parquet"]

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
    "DELTA": {"ignoreDeletes", "timestampAsOf", "versionAsOf", "readChangeFeed", "startingVersion", "endingVersion"},
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
_NAMES = {"JSONL": "json", "NDJSON": "json", "BINARYFILE": "binaryFile"}
_ALWAYS = frozenset({"BINARYFILE", "XML"})


def reader_arguments(format: str) -> Collection[str]:  # noqa: A002
    """Options of the reader of a format."""
    return _ARGUMENTS.get(format, ())


def reader_methods() -> list[str]:
    """Methods of a reader that give it back."""
    return ["option", "options", "schema"]


def is_native(read: FileRead, files: Sequence[str]) -> bool:
    """Whether Spark reads this by itself, else what Polars reads is handed over.

    Text is read as on other engines unless options of Spark are given: they are its own words for something else.
    """
    if read.kwargs or read.methods or read.format in _ALWAYS:
        return True
    if read.format == "DELTA":
        return True
    return read.format == "PARQUET" and read.rows is None and all(local_path(file) is not None for file in files)


def scan_parquet(files: Sequence[str], schema: pl.Schema, spark: SparkSession, *, sail: bool) -> DataFrame:
    """Files whose columns are known, so that Spark runs no job to learn them; Sail wants to look for itself."""
    reader = spark.read if sail else spark.read.schema(spark_schema(schema))
    frame = reader.parquet(*map(_literal, files))
    return with_one_nan(frame) if sail else frame


def scan_files(read: FileRead, files: Sequence[str], spark: SparkSession, *, sail: bool) -> DataFrame | None:
    """The rows of these files by Spark's own reader; None if Spark reads them otherwise than other engines.

    Raises
    ------
    SourceError
        Not what `schema` declares, or options that the reader has not.
    """
    lower = {name.lower(): name for name in reader_arguments(read.format)}
    check_arguments(
        [lower.get(name.lower(), name) for name in read.kwargs],
        reader_arguments(read.format),
        f"the {read.format} reader",
    )
    if read.format == "DELTA":
        reader = spark.read.format("delta")
        if read.version is not None:
            reader = reader.option("versionAsOf", read.version)
        return _loaded(reader, read, [read.path], sail=sail)
    if read.format == "PARQUET" and not read.kwargs and not read.methods:
        return _parquet(read, files, spark, sail=sail)
    reader = spark.read.format(_NAMES.get(read.format, read.format.lower())).options(**_computed(read))
    if read.schema is not None:
        reader = reader.schema(spark_schema(read.schema))
    return _loaded(reader, read, files, sail=sail)


def _computed(read: FileRead) -> dict[str, Any]:
    """What is asked for unless the user says otherwise: nothing that cannot be read is left out without a word."""
    if read.format == "CSV":
        return {"header": read.has_header, "inferSchema": read.infer_schema, "mode": "FAILFAST", "escape": '"'}
    if read.format in {"JSON", "JSONL", "NDJSON"}:
        return {"multiLine": read.format == "JSON", "mode": "FAILFAST"}
    if read.format == "XML":
        return {"inferSchema": read.infer_schema, "mode": "FAILFAST"}
    return {}


def _loaded(reader: DataFrameReader, read: FileRead, files: Sequence[str], *, sail: bool) -> DataFrame:
    reader = reader.options(**read.kwargs)
    for name, args, kwargs in read.methods:
        if name not in reader_methods():
            msg = f"reader method {name!r}: with the PYSPARK engine, only {', '.join(reader_methods())}"
            raise UnsupportedError(msg)
        try:
            reader = getattr(reader, name)(*args, **kwargs)
        except (TypeError, ValueError) as error:
            msg = f"reader method {name!r}: {reason(error)}"
            raise SourceError(msg) from error
    frame = reader.load(list(map(_literal, files)))
    return with_one_nan(frame) if sail else frame


def _parquet(read: FileRead, files: Sequence[str], spark: SparkSession, *, sail: bool) -> DataFrame | None:
    """Files with columns of one schema, all of whose types Spark has."""
    if keys_of(read, files):
        return None
    schemas = [checked_scan(file, "PARQUET").collect_schema() for file in files]
    if any(schema != schemas[0] for schema in schemas) or not is_plain(schemas[0]) or not schemas[0]:
        return None
    frame = scan_parquet(files, schemas[0], spark, sail=sail)
    declared = declared_schema(read)
    if declared is None:
        return frame
    check_declared(schemas[0], declared, read.path)
    return frame.select(*declared) if all(schemas[0][name] == dtype for name, dtype in declared.items()) else None


def _literal(file: str) -> str:
    """A path Spark takes as it is, not as a pattern; absolute, for its process may work in another folder."""
    local = local_path(file)
    if local is None:
        return file
    file = str(Path(local).absolute())
    return "".join(f"\\{sign}" if sign in "*?[]{}\\" else sign for sign in file)
