"""The Spark engine during one run. The Spark session is the process's, and is never stopped."""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from laktory.engines._polars.session import PolarsSession
from laktory.engines._spark.connection import get_spark_session, is_sail
from laktory.engines._spark.failures import translated
from laktory.engines._spark.methods import METHODS
from laktory.engines._spark.readers import is_native, reader_arguments, reader_methods, scan_files, scan_parquet
from laktory.engines._spark.sql import query, syntax_error
from laktory.engines._spark.streams import stream
from laktory.engines._spark.tables import SparkCatalog
from laktory.engines._spark.types import as_spark_holds, spark_schema
from laktory.engines._spark.writers import stage_outputs, writer_arguments
from laktory.engines.capabilities import PYSPARK, SAIL
from laktory.engines.scans import files_of
from laktory.errors import ExpressionError, RunInterrupted
from laktory.expressions.statement import fragment_problems
from laktory.optional import require

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from pyspark.sql import Column, DataFrame
    from pyspark.sql.streaming.query import StreamingQuery

    from laktory.engines.capabilities import Capabilities
    from laktory.engines.identity import SeenFiles
    from laktory.engines.protocol import Batch, FileRead, Output, Staged

__all__ = ["PySparkSession"]


class PySparkSession:
    """See `laktory.engines.protocol.Session`.

    Spark computes; files that Spark reads or writes otherwise than other engines go through Polars and Parquet.

    Parameters
    ----------
    scratch : existing private folder for temporary files
    """

    capabilities: Capabilities
    methods: Mapping[str, Callable[..., nw.LazyFrame[Any]]] = METHODS

    def __init__(self, scratch: str) -> None:
        require("pyspark", "dataframe_backend: PYSPARK")
        self._scratch = Path(scratch).absolute()
        self._front = PolarsSession(scratch)
        self._spark = get_spark_session()
        self._sail = is_sail(self._spark)
        self.capabilities = SAIL if self._sail else PYSPARK
        self._numbers = count()
        self._reads: list[FileRead] = []
        self._stopped = False
        self._queries: list[StreamingQuery] = []
        self.catalog = SparkCatalog(self._spark, self._reads, self._go_on, sail=self._sail)

    @staticmethod
    def arguments(format: str, *, writer: bool = False, directory: bool = False) -> Collection[str]:  # noqa: A002
        """Options of the reader or writer of a format."""
        return writer_arguments(format, directory=directory) if writer else reader_arguments(format)

    reader_methods = staticmethod(reader_methods)
    native_schema = staticmethod(spark_schema)

    @staticmethod
    def native_sql(text: str) -> Column:
        """A SQL expression that holds no query and reads nothing.

        Raises
        ------
        ExpressionError
            If it does.
        """
        from pyspark.sql import functions

        if problems := fragment_problems(text):
            raise ExpressionError(problems[0].message)
        return functions.expr(text)

    def scan(self, read: FileRead, seen: SeenFiles | None = None) -> nw.LazyFrame[Any]:
        """Read files lazily; what Polars reads for Spark is read now.

        Raises
        ------
        SourceError
            Missing, broken, or not what the declaration says.
        """
        files = files_of(read)
        if is_native(read, files):
            if seen is not None:
                seen.add(files)
            with translated([read]):
                frame = scan_files(read, files, self._spark, sail=self._sail)
            if frame is not None:
                self._reads.append(read)
                return nw.from_native(frame)
        return self._taken(nw.to_native(self._front.scan(read, seen)), repr(read.path))

    def adopt(self, frame: Any) -> nw.LazyFrame[Any]:
        """Take in a frame of any library, a mapping of columns or a list of rows.

        Raises
        ------
        SourceError
            It is none of these, or its values do not make columns.
        """
        native = nw.to_native(frame, pass_through=True)
        if _is_spark(native):
            given: nw.LazyFrame[Any] = nw.from_native(native)
            return given
        return self._taken(nw.to_native(self._front.adopt(native)), "the data")

    def sql(self, statement: str, frames: Mapping[str, nw.LazyFrame[Any]]) -> nw.LazyFrame[Any]:
        """One query over exactly the named frames.

        Raises
        ------
        StepError
            The statement cannot be planned.
        """
        natives: dict[str, DataFrame] = {name: nw.to_native(frame) for name, frame in frames.items()}
        return nw.from_native(query(self._spark, statement, natives))

    def check_sql(self, statement: str) -> tuple[str, int | None, int | None] | None:
        """Syntax error as ``(message, line, column)`` or None."""
        return syntax_error(self._spark, statement)

    def schema(self, frame: nw.LazyFrame[Any]) -> nw.Schema:
        """Columns and types of a frame.

        Raises
        ------
        SourceError, StepError
            A source, or a step on it, cannot be planned.
        """
        with translated(self._reads):
            return frame.collect_schema()

    def exactly(self, frame: nw.LazyFrame[Any], types: nw.Schema, path: str) -> nw.LazyFrame[Any]:
        """The frame with other types: none of Spark's loses anything by it."""
        del path
        found = frame.collect_schema()
        return frame.with_columns(nw.col(name).cast(types[name]) for name in found if found[name] != types[name])

    def fetch(self, frame: nw.LazyFrame[Any]) -> pl.DataFrame:
        """Compute a small frame now.

        Raises
        ------
        SourceError, StepError
            A source, or a step on it, fails.
        """
        self._go_on()
        native: DataFrame = nw.to_native(frame)
        with translated(self._reads):
            found = pl.from_arrow(native.toArrow())
        assert isinstance(found, pl.DataFrame)
        return found

    def collect(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """Compute now, into temporary files.

        Raises
        ------
        SourceError, StepError
            A source, or a step on it, fails.
        """
        from laktory.engines.protocol import Output

        [staged] = self.stage([Output(frame, self._folder(), "PARQUET", directory=True)])
        return nw.from_native(self._parquet(staged.files))

    def once(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """A plain scan itself; anything else is computed now, into temporary files.

        Raises
        ------
        SourceError, StepError
            A source, or a step on it, fails.
        """
        return self.collect(frame)

    def stage(self, outputs: Sequence[Output]) -> list[Staged]:
        """Write the outputs of one node.

        Raises
        ------
        SourceError, StepError, SinkError
            A source, a step on it, or a place to write to fails.
        """
        self._go_on()
        with translated(self._reads, [output.path for output in outputs]):
            return stage_outputs(outputs, self._front, self._folder, self._parquet)

    def stream(self, read: FileRead, checkpoint: str, each: Callable[[Batch], None]) -> None:
        """Hand over all that is new in files or a Delta table.

        Raises
        ------
        SourceError
            There is nothing to follow, or it cannot be followed.
        """
        self._go_on()
        with translated([read]):
            stream(self._spark, read, checkpoint, each, self._queries.append)

    def interrupt(self) -> None:
        """Stop what is running, and let no output begin."""
        self._stopped = True
        for following in self._queries:
            following.stop()
        self._front.interrupt()

    def close(self) -> None:
        """Forget the frames; the Spark session goes on."""
        self._stopped = True

    def _go_on(self) -> None:
        if self._stopped:
            msg = "the run was stopped"
            raise RunInterrupted(msg)

    def _folder(self) -> str:
        folder = self._scratch / f"spark-{next(self._numbers)}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return str(folder)

    def _taken(self, frame: pl.LazyFrame, where: str) -> nw.LazyFrame[Any]:
        """What Polars holds, handed over as a Parquet file."""
        from laktory.engines.protocol import Output

        held = as_spark_holds(frame, where)
        path = f"{self._folder()}/taken.parquet"
        output = Output(nw.from_native(held), path, "PARQUET", kwargs={"compression": "snappy"})
        self._front.stage([output])
        return nw.from_native(scan_parquet([path], held.collect_schema(), self._spark, sail=self._sail))

    def _parquet(self, files: Sequence[str]) -> DataFrame:
        schema = pl.scan_parquet(files[0], glob=False, hive_partitioning=False).collect_schema()
        return scan_parquet(files, schema, self._spark, sail=self._sail)


def _is_spark(native: Any) -> bool:
    return any(kind.__module__.startswith("pyspark.sql") for kind in type(native).__mro__)
