"""The Spark engine during one run. The Spark session is the process's, and is never stopped."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import WeakSet

import narwhals as nw
import polars as pl

from laktory.diagnostics.secrets import redact
from laktory.engines._polars.session import PolarsSession
from laktory.engines._spark.connection import activate, get_spark_session, is_sail, jobs_of, may_be_elsewhere
from laktory.engines._spark.elsewhere import brought, handed_over, keep, sees_files, stage_here
from laktory.engines._spark.expressions import mend
from laktory.engines._spark.failures import translated
from laktory.engines._spark.methods import METHODS
from laktory.engines._spark.places import PlainPaths
from laktory.engines._spark.readers import (
    for_polars,
    has_nan,
    reader_arguments,
    reader_methods,
    scan_elsewhere,
    scan_files,
    scan_parquet,
    with_options,
)
from laktory.engines._spark.sql import query, syntax_error
from laktory.engines._spark.streams import stream
from laktory.engines._spark.tables import SparkCatalog
from laktory.engines._spark.types import as_spark_holds, spark_schema
from laktory.engines._spark.writers import stage_outputs, writer_arguments
from laktory.engines.capabilities import ENGINES, PYSPARK, SAIL
from laktory.engines.protocol import FileRead
from laktory.engines.scans import files_of
from laktory.errors import ExpressionError, RunError, RunInterrupted, SourceError, StepError
from laktory.expressions.placeholders import named_twice
from laktory.expressions.statement import fragment_problems
from laktory.optional import require
from laktory.paths import local_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from pyspark.sql import Column, DataFrame
    from pyspark.sql.streaming.query import StreamingQuery

    from laktory.engines.capabilities import Capabilities
    from laktory.engines.identity import SeenFiles
    from laktory.engines.protocol import Batch, Output, Staged, TableRead

__all__ = ["PySparkSession"]

_PAUSE = 0.2
"""Seconds between two attempts to stop the jobs of a run."""


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
        mend()
        self._scratch = Path(scratch).absolute()
        self._front = PolarsSession(scratch)
        self._spark = get_spark_session()
        self._sail = is_sail(self._spark)
        self.in_reach = sees_files(self._spark)
        self.capabilities = SAIL if self._sail else PYSPARK
        self._tag = f"laktory-{uuid4().hex}"
        self._computed: set[object] = set()
        self._jobs = jobs_of(self._spark)
        self._plain: WeakSet[DataFrame] = WeakSet()
        self._places = PlainPaths(self._scratch / "links")
        self._numbers = count()
        self._reads: list[tuple[FileRead, Sequence[str]]] = []
        self._stopped = False
        self._queries: list[StreamingQuery] = []
        self.catalog: SparkCatalog = SparkCatalog(self._spark, self._computing, sail=self._sail)

    may_be_elsewhere = staticmethod(may_be_elsewhere)

    @staticmethod
    def arguments(format: str, *, writer: bool = False, directory: bool = False) -> Collection[str]:  # noqa: A002
        """Options of the reader or writer of a format."""
        sail = ENGINES["PYSPARK"].variant is not None
        if writer:
            return writer_arguments(format, directory=directory, sail=sail)
        return reader_arguments(format, sail=sail)

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

    def enter(self) -> None:
        """Plan in this thread as the Spark session says.

        Raises
        ------
        StepError
            It is gone.
        """
        with self._translated():
            activate(self._spark)

    def scan(self, read: FileRead, seen: SeenFiles | None = None) -> nw.LazyFrame[Any]:
        """Read files lazily; what Polars reads for Spark is read now.

        Raises
        ------
        SourceError
            Missing, broken, or not what the declaration says.
        """
        if not self.in_reach and read.of_engine:
            with self._translated():
                return nw.from_native(scan_elsewhere(with_options(read, sail=self._sail), self._spark, sail=self._sail))
        if not self.in_reach:
            return self._taken(nw.to_native(self._front.scan(read, seen)), repr(read.path))
        with self._translated():
            read, files = with_options(read, sail=self._sail), files_of(read)
        if seen is not None:
            seen.add(files)
        with self._translated([(read, files)]):
            frame = scan_files(read, files, self._spark, self._places, sail=self._sail)
        if frame is not None:
            self._reads.append((read, files))
            return nw.from_native(self._as_plain(frame))
        if self._sail:
            read = for_polars(read)
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
        once = {native: nw.to_native(self.once(nw.from_native(native))) for native in named_twice(statement, natives)}
        named = {name: once.get(native, native) for name, native in natives.items()}
        with self._translated(self._reads):
            return nw.from_native(query(self._spark, statement, named))

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
        with self._translated(self._reads):
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
        native: DataFrame = nw.to_native(frame)
        with self._computing([native]):
            return brought(native)

    def collect(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """Compute now, into temporary files, or where Spark is if it does not see them.

        Raises
        ------
        SourceError, StepError
            A source, or a step on it, fails.
        """
        from laktory.engines.protocol import Output

        if not self.in_reach:
            native: DataFrame = nw.to_native(frame)
            with self._computing([native]):
                return nw.from_native(self._as_plain(keep(native, self._spark)))
        [staged] = self.stage([Output(frame, self._folder(), "PARQUET", directory=True)])
        return nw.from_native(self._parquet(staged.files))

    def once(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """A plain scan itself; anything else is computed now, into temporary files.

        Raises
        ------
        SourceError, StepError
            A source, or a step on it, fails.
        """
        native = nw.to_native(frame)
        if native.isStreaming:
            msg = "a stream is read once, and this names it several times"
            raise StepError(f"{msg}; read the source without 'as_stream'")
        return frame if native in self._plain else self.collect(frame)

    def stage(self, outputs: Sequence[Output]) -> list[Staged]:
        """Write the outputs of one node.

        Raises
        ------
        SourceError, StepError, SinkError
            A source, a step on it, or a place to write to fails.
        """
        natives = [nw.to_native(output.frame) for output in outputs]
        with self._computing(natives, [output.path for output in outputs]):
            if not self.in_reach:
                return stage_here(outputs, self._front)
            return stage_outputs(outputs, self._front, self._folder, self._parquet, self._places, sail=self._sail)

    def stream(
        self,
        read: FileRead | TableRead,
        checkpoint: str,
        each: Callable[[Batch], None],
        *,
        shape: Callable[[nw.LazyFrame[Any]], nw.LazyFrame[Any]] | None = None,
        whole: bool = False,
    ) -> None:
        """Hand over all that is new in files or a table.

        Raises
        ------
        SourceError
            There is nothing to follow, or it cannot be followed.
        """
        self._go_on()
        folder = f"{Path(checkpoint).parent}/"

        def take(batch: Batch) -> None:
            each(batch)
            for past in [found for found in self._reads if found[0].path.startswith(folder)]:
                self._reads.remove(past)  # it went with the batch, and is no reason for what fails later

        with self._translated([(read, ())] if isinstance(read, FileRead) else ()):
            stream(self._spark, self.catalog, read, checkpoint, take, self._queries.append, shape=shape, whole=whole)

    def interrupt(self) -> None:
        """Stop the jobs of this run, not those of others in the same Spark session, and let no output begin."""
        self._stopped = True
        for following in self._queries:
            following.stop()
        self._front.interrupt()
        threading.Thread(target=self._stop_jobs, daemon=True).start()

    def close(self) -> None:
        """Forget the frames; the Spark session goes on."""
        self._stopped = True

    def _stop_jobs(self) -> None:
        """Until nothing is computed: what is only being planned has no job yet."""
        with suppress(Exception):  # a session that is gone computes nothing
            while self._computed:
                self._jobs.cancel(self._tag)
                time.sleep(_PAUSE)

    @contextmanager
    def _computing(self, natives: Sequence[DataFrame], staged: Sequence[str] = ()) -> Iterator[None]:
        """Frames are looked at. Jobs of this thread carry the tag of the run; tags belong to threads."""
        computed = object()
        self._computed.add(computed)
        try:
            self._go_on()
            self._jobs.tag(self._tag)
            with self._translated(self._reads, staged), self._all_there(natives):
                yield
        except RunError:
            self._go_on()
            raise
        finally:
            self._computed.discard(computed)
            with suppress(Exception):
                self._jobs.untag(self._tag)

    def _go_on(self) -> None:
        if self._stopped:
            msg = "the run was stopped"
            raise RunInterrupted(msg)

    def _as_plain(self, frame: DataFrame) -> DataFrame:
        """Note a frame that is a file as it is: each look at it gives the same rows."""
        self._plain.add(frame)
        return frame

    def _folder(self) -> str:
        folder = self._scratch / f"spark-{next(self._numbers)}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return str(folder)

    def _taken(self, frame: pl.LazyFrame, where: str) -> nw.LazyFrame[Any]:
        """What Polars holds, handed over as a Parquet file, or through Arrow where Spark does not see one."""
        from laktory.engines.protocol import Output

        held = nw.from_native(as_spark_holds(frame, where))
        if not self.in_reach:
            rows = self._front.fetch(held)
            with self._translated():
                return nw.from_native(self._as_plain(handed_over(rows, self._spark)))
        path = f"{self._folder()}/taken.parquet"
        # Polars' leave NaN out, and Spark would skip the rows that hold it
        kwargs = {"compression": "snappy", "statistics": False}
        self._front.stage([Output(held, path, "PARQUET", kwargs=kwargs)])
        taken = scan_parquet([path], held.collect_schema().to_polars(), self._spark, sail=self._sail)
        return nw.from_native(self._as_plain(taken))

    def _parquet(self, files: Sequence[str]) -> DataFrame:
        rows = pl.scan_parquet(list(files), glob=False, hive_partitioning=False)
        if self._sail and has_nan(rows):
            taken: DataFrame = nw.to_native(self._taken(rows, "the frame"))
            return taken
        files = self._places.all_of(files)
        return self._as_plain(scan_parquet(files, rows.collect_schema(), self._spark, sail=self._sail))

    @contextmanager
    def _all_there(self, natives: Sequence[DataFrame]) -> Iterator[None]:
        """Sail takes a file that is gone for one without rows: refuse frames that read such a file."""
        named: list[str] = []
        if self._sail:
            plans = b"".join(map(_plan_of, natives))
            local = [file for _, files in self._reads for file in files if local_path(file) is not None]
            named = [file for file in local if self._places.of(file).encode() in plans]
        _require_files(named)
        yield
        _require_files(named)

    def _translated(
        self, reads: Sequence[tuple[FileRead, Sequence[str]]] = (), staged: Sequence[str] = ()
    ) -> AbstractContextManager[None]:
        return translated(reads, staged, str(self._scratch), self._places.shown)


def _plan_of(native: Any) -> bytes:
    """What the client sends to have a frame computed; it names the files."""
    plan: bytes = native._plan.to_proto(native.sparkSession.client).SerializeToString()  # noqa: SLF001 - nothing public
    return plan


def _require_files(files: Iterable[str]) -> None:
    for file in files:
        if not os.path.lexists(file):
            msg = f"{file!r} cannot be read: {os.strerror(errno.ENOENT)}"
            raise SourceError(redact(msg))


def _is_spark(native: Any) -> bool:
    return any(kind.__module__.startswith("pyspark.sql") for kind in type(native).__mro__)
