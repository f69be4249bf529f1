"""The Polars engine during one run. Nothing is held between calls but the plans it gave out."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

import narwhals as nw
import polars as pl

from laktory.engines._polars.failures import translated
from laktory.engines._polars.memory import leave_room
from laktory.engines._polars.methods import METHODS
from laktory.engines._polars.readers import reader_arguments, reader_methods, scan_files
from laktory.engines._polars.sql import query, syntax_error
from laktory.engines._polars.widening import is_narrow, widened
from laktory.engines._polars.writers import exactly, stage_outputs, writer_arguments
from laktory.engines.capabilities import POLARS
from laktory.engines.errors import reason
from laktory.engines.handover import in_memory
from laktory.engines.scans import files_of
from laktory.errors import RunInterrupted, SourceError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from laktory.engines.identity import SeenFiles
    from laktory.engines.protocol import Batch, FileRead, Output, Staged

__all__ = ["PolarsSession"]

T = TypeVar("T")

_PLAIN = frozenset({"DELTA", "IPC", "PARQUET"})
"""Formats whose rows cost little to read."""


class PolarsSession:
    """See `laktory.engines.protocol.Session`.

    Parameters
    ----------
    scratch : existing private folder for temporary files
    """

    capabilities = POLARS
    methods: Mapping[str, Callable[..., nw.LazyFrame[Any]]] = METHODS
    catalog = None
    in_reach = True

    def __init__(self, scratch: str) -> None:
        leave_room()
        self._scratch = scratch
        self._reads: list[tuple[FileRead, Sequence[str]]] = []
        self._plain: WeakValueDictionary[int, pl.LazyFrame] = WeakValueDictionary()
        self._stopped = False

    @staticmethod
    def may_be_elsewhere() -> bool:
        """Never: it computes in this process."""
        return False

    @staticmethod
    def arguments(format: str, *, writer: bool = False, directory: bool = False) -> Collection[str]:  # noqa: A002
        """Keyword arguments of the reader or writer of a format."""
        return writer_arguments(format, directory=directory) if writer else reader_arguments(format)

    reader_methods = staticmethod(reader_methods)
    native_sql = staticmethod(pl.sql_expr)

    @staticmethod
    def native_schema(schema: nw.Schema) -> pl.Schema:
        """As a Polars schema."""
        return schema.to_polars()

    def enter(self) -> None:
        """Threads are alike."""

    def scan(self, read: FileRead, seen: SeenFiles | None = None) -> nw.LazyFrame[Any]:
        """Read files lazily. JSON lines and, when types are inferred, CSV are looked through first.

        Raises
        ------
        SourceError
            Missing, broken, or not what the declaration says.
        """
        with translated():
            files = files_of(read)
        if seen is not None:
            seen.add(files)
        with translated([(read, files)]):
            frame = self._run(lambda: scan_files(read, files))
        self._reads.append((read, files))
        if read.format in _PLAIN and not read.methods:
            self._plain[id(frame)] = frame
        return nw.from_native(frame)

    def adopt(self, frame: Any) -> nw.LazyFrame[Any]:
        """Take in a frame of any library, a mapping of columns or a list of rows.

        Raises
        ------
        SourceError
            It is none of these, or its values do not make columns.
        """
        native = nw.to_native(frame, pass_through=True)
        if isinstance(native, pl.LazyFrame):
            return nw.from_native(native)
        try:
            return nw.from_native(self._run(lambda: in_memory(native)).lazy())
        except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
            msg = f"the data of type {type(native).__name__!r} cannot be taken in: {reason(error)}"
            raise SourceError(msg) from error

    def sql(self, statement: str, frames: Mapping[str, nw.LazyFrame[Any]]) -> nw.LazyFrame[Any]:
        """One query over exactly the named frames.

        Raises
        ------
        StepError
            The statement cannot be planned; unknown columns may show only when it is computed.
        """
        natives: dict[str, pl.LazyFrame] = {name: nw.to_native(frame) for name, frame in frames.items()}
        if is_narrow(statement):
            with translated(self._reads):
                statement = self._run(lambda: widened(statement, natives))
        plain = {name for name, native in natives.items() if self._plain.get(id(native)) is native}
        return nw.from_native(query(statement, natives, plain))

    def check_sql(self, statement: str) -> tuple[str, int | None, int | None] | None:
        """Syntax error as ``(message, line, column)`` or None."""
        return syntax_error(statement)

    def schema(self, frame: nw.LazyFrame[Any]) -> nw.Schema:
        """Columns and types of a frame.

        Raises
        ------
        SourceError, StepError
            A source, or a step on it, cannot be planned.
        """
        native: pl.LazyFrame = nw.to_native(frame)
        with translated(self._reads):
            return nw.Schema.from_polars(self._run(native.collect_schema))

    def exactly(self, frame: nw.LazyFrame[Any], types: nw.Schema, path: str) -> nw.LazyFrame[Any]:
        """The frame with other types; computing a value that loses nanoseconds by it is a `SinkError`."""
        return nw.from_native(exactly(nw.to_native(frame), types.to_polars(), path))

    def fetch(self, frame: nw.LazyFrame[Any]) -> pl.DataFrame:
        """Compute now.

        Raises
        ------
        SourceError, StepError
            A source, or a step on it, fails.
        """
        native: pl.LazyFrame = nw.to_native(frame)
        with translated(self._reads):
            return self._run(native.collect)

    def collect(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """Compute now, in memory.

        Raises
        ------
        SourceError, StepError
            A source, or a step on it, fails.
        """
        return nw.from_native(self.fetch(frame).lazy())

    def once(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """The frame with a cache around it. By itself Polars shares only what it knows to give the same rows again."""
        native: pl.LazyFrame = nw.to_native(frame)
        return nw.from_native(native.cache())

    def stage(self, outputs: Sequence[Output]) -> list[Staged]:
        """Write the outputs of one node.

        Raises
        ------
        SourceError, StepError, SinkError
            A source, a step on it, or a place to write to fails.
        """
        with translated(self._reads, [output.path for output in outputs], self._scratch):
            return stage_outputs(outputs, self._scratch, self._run)

    def stream(self, read: FileRead, checkpoint: str, each: Callable[[Batch], None], **options: Any) -> None:
        """POLARS follows no source.

        Raises
        ------
        UnsupportedError
            Always.
        """
        del checkpoint, each, options
        msg = f"{read.path!r}: POLARS reads no streams"
        raise UnsupportedError(msg)

    def interrupt(self) -> None:
        """Let nothing more begin. Polars finishes a query once started: the caller stops waiting for it."""
        self._stopped = True

    def close(self) -> None:
        """Nothing to release."""

    def _run(self, compute: Callable[[], T]) -> T:
        """Compute outside the main thread, so that signals reach Python while Polars works."""
        if self._stopped:
            msg = "the run was stopped"
            raise RunInterrupted(msg)
        if threading.current_thread() is not threading.main_thread():
            return compute()
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="polars")
        try:
            return pool.submit(compute).result()
        finally:
            pool.shutdown(wait=False)
