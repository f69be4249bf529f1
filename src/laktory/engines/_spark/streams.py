"""Structured Streaming: what is new since the last run, batch after batch.

Spark keeps which files, or which versions of a table, a checkpoint has seen. Files are followed by their names and each
batch is read as any other source is, so that a stream of files and a batch of them give the same rows.
"""

from __future__ import annotations

import re
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import narwhals as nw

from laktory.engines._spark.connection import is_connect, is_databricks
from laktory.engines.capabilities import EXTENSIONS, PYSPARK
from laktory.engines.protocol import Batch, FileRead
from laktory.errors import RunError, SourceError, UnsupportedError
from laktory.paths import local_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

    from laktory.engines._spark.tables import SparkCatalog
    from laktory.engines.protocol import TableRead

__all__ = ["stream"]

_CHANGED = re.compile("DELTA_SOURCE_(?:TABLE_IGNORE_CHANGES|IGNORE_DELETE)")
_REMEMBERED = re.compile(r"STATE_STORE_\w*SCHEMA|STREAMING_STATEFUL_OPERATOR|StateSchemaNotCompatible")
_FILES = "path STRING NOT NULL, modificationTime TIMESTAMP_LTZ NOT NULL, length BIGINT NOT NULL, content BINARY"


def stream(
    spark: SparkSession,
    catalog: SparkCatalog,
    read: FileRead | TableRead,
    checkpoint: str,
    each: Callable[[Batch], None],
    started: Callable[[StreamingQuery], None],
    *,
    shape: Callable[[nw.LazyFrame[Any]], nw.LazyFrame[Any]] | None = None,
    whole: bool = False,
) -> None:
    """Hand over everything that is new, and return when it is done.

    Parameters
    ----------
    checkpoint : folder of Spark's own
    each : takes a batch; one that fails is handed over again by the next call
    started : takes the query, to stop it
    shape, whole : as `laktory.engines.protocol.Session.stream` takes them

    Raises
    ------
    UnsupportedError
        The session is one of Spark Connect, or of Databricks.
    SourceError
        There is nothing to follow, it was replaced, or what was remembered of it is of no use for other steps.
    """
    if is_connect(spark):
        msg = "a stream needs a classic Spark session; over Spark Connect, its batches would run in another process"
        raise UnsupportedError(msg)
    if is_databricks(spark):
        # Auto Loader would find the files, but where its clusters keep files for good, none can be added to or locked
        msg = "streams are not supported on Databricks by this version: the ledger that commits each batch once needs a"
        raise UnsupportedError(f"{msg} file system that keeps, locks and adds to files; leave 'as_stream' out there")
    failures: list[BaseException] = []
    context = copy_context()

    def take(frame: DataFrame, number: int) -> None:
        try:
            context.copy().run(each, _batch(read, frame, number, spark))
        except BaseException as error:
            failures.append(error)
            # of what is no Exception, such as a panic of Polars, Spark's thread would die and the query wait for ever
            msg = "the batch failed"
            raise RunError(msg) from error

    rows = _source(spark, read) if isinstance(read, FileRead) else catalog.follow(read)
    if shape is not None:
        rows = nw.to_native(shape(nw.from_native(rows)))
    query = (
        rows.writeStream.foreachBatch(take)
        .outputMode("complete" if whole else "append")
        .option("checkpointLocation", str(Path(checkpoint).absolute()))
        .trigger(availableNow=True)
        .start()
    )
    started(query)
    try:
        query.awaitTermination()
    except Exception as error:
        if failures:
            raise failures[0] from None
        if _CHANGED.search(str(error)):
            name = read.path if isinstance(read, FileRead) else ".".join(read.name)
            msg = f"rows of {name!r} were changed or removed, or it was replaced; a stream follows only what is added: "
            raise SourceError(f"{msg}a run with 'full_refresh' begins anew") from error
        if _REMEMBERED.search(str(error)):
            msg = "the steps are others than those for which the stream has remembered rows: a run with 'full_refresh'"
            raise SourceError(f"{msg} begins anew") from error
        raise


def _source(spark: SparkSession, read: FileRead) -> DataFrame:
    if read.format == "DELTA":
        return spark.readStream.format("delta").options(**read.kwargs).load(str(Path(read.path).absolute()))
    local = local_path(read.path)
    if local is None or not Path(local).exists():
        msg = f"{read.path!r} is no folder of files that could be followed"
        raise SourceError(msg)
    options = {name: value for name, value in read.kwargs.items() if name in PYSPARK.stream_options}
    reader = spark.readStream.format("binaryFile").schema(_FILES).option("recursiveFileLookup", "true")
    return reader.options(**options).load(str(Path(local).absolute())).select("path")


def _batch(read: FileRead | TableRead, frame: DataFrame, number: int, spark: SparkSession) -> Batch:
    if not isinstance(read, FileRead) or read.format == "DELTA":
        # the frame belongs to a copy of the session, which the SQL of this one does not know
        own = spark.createDataFrame([], frame.schema).unionAll(frame)
        return Batch(number, frame=nw.from_native(own))
    paths = sorted(_path(row[0]) for row in frame.collect())
    return Batch(number, files=tuple(path for path in paths if path.lower().endswith(_endings(read))))


def _endings(read: FileRead) -> tuple[str, ...]:
    ends = EXTENSIONS[read.format]
    return (*ends, *(f"{end}{packed}" for end in ends for packed in (".gz", ".zst")))


def _path(uri: str) -> str:
    """A file's path as the file system knows it."""
    return uri.removeprefix("file://") if uri.startswith("file:///") else uri.removeprefix("file:")
