"""The DuckDB engine during one run: one connection, one query at a time."""

from __future__ import annotations

import threading
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import duckdb
import narwhals as nw
import polars as pl

from laktory.engines._duckdb.expressions import mend
from laktory.engines._duckdb.failures import translated
from laktory.engines._duckdb.methods import METHODS
from laktory.engines._duckdb.readers import call_methods, reader_arguments, reader_methods, refuse_names, scan_files
from laktory.engines._duckdb.sharing import is_plain_scan
from laktory.engines._duckdb.sql import Planner, outside, query, refuse_equal_names, syntax_error
from laktory.engines._duckdb.storing import columns_of, exactly, stored, stored_schema
from laktory.engines._duckdb.streams import PolarsStream, Source
from laktory.engines._duckdb.types import duckdb_type, identifier, literal
from laktory.engines._duckdb.writers import stage_outputs, writer_arguments
from laktory.engines.capabilities import DUCKDB
from laktory.engines.errors import reason
from laktory.engines.handover import in_memory
from laktory.engines.scans import files_of
from laktory.errors import ExpressionError, RunInterrupted, SourceError, UnsupportedError
from laktory.expressions.placeholders import named_twice
from laktory.expressions.statement import fragment_problems
from laktory.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from laktory.engines.identity import SeenFiles
    from laktory.engines.protocol import Batch, FileRead, Output, Staged

__all__ = ["DuckDBSession"]

mend()


class DuckDBSession:
    """See `laktory.engines.protocol.Session`.

    Parameters
    ----------
    scratch : existing private folder for temporary files

    Attributes
    ----------
    methods : methods of frames to call instead of those of Narwhals
    """

    capabilities = DUCKDB
    methods: Mapping[str, Callable[..., nw.LazyFrame[Any]]] = METHODS
    catalog = None
    in_reach = True

    def __init__(self, scratch: str) -> None:
        self._scratch = Path(scratch).absolute()
        # relations of one connection only can be joined, and it takes one query at a time
        self._lock = threading.RLock()
        self._closed = False
        self._stopped = False
        self._numbers = count()
        self._registered: list[str] = []
        self._queries: WeakKeyDictionary[duckdb.DuckDBPyRelation, str] = WeakKeyDictionary()
        self._views: WeakKeyDictionary[duckdb.DuckDBPyRelation, str] = WeakKeyDictionary()
        self._reads: dict[str, Source] = {}
        self._planners: dict[bool, Planner] = {}
        self._con = duckdb.connect(
            config={
                "allow_community_extensions": "false",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            }
        )
        # never `parquet_metadata_cache`: of a file rewritten soon after it was read it may take the old statistics
        for setting, value in {
            "enable_progress_bar": False,
            "preserve_insertion_order": True,
            "python_enable_replacements": False,
            "temp_directory": str(self._scratch / f"duckdb-{id(self)}"),
            "TimeZone": "UTC",
        }.items():
            self._con.execute(f"SET {setting} = {literal(value)}")

    @staticmethod
    def may_be_elsewhere() -> bool:
        """Never: it computes in this process."""
        return False

    @staticmethod
    def arguments(format: str, *, writer: bool = False, directory: bool = False) -> Collection[str]:  # noqa: A002
        """Keyword arguments of the reader or writer of a format."""
        return writer_arguments(format, directory=directory) if writer else reader_arguments(format)

    reader_methods = staticmethod(reader_methods)

    @staticmethod
    def native_schema(schema: nw.Schema) -> dict[str, str]:
        """A mapping from column name to type name."""
        return {name: duckdb_type(dtype) for name, dtype in schema.items()}

    @staticmethod
    def native_sql(text: str) -> duckdb.Expression:
        """A SQL expression that holds no query and reads nothing.

        Raises
        ------
        ExpressionError
            If it does.
        """
        if problems := fragment_problems(text):
            raise ExpressionError(problems[0].message)
        return duckdb.SQLExpression(text)

    def enter(self) -> None:
        """Threads are alike."""

    def scan(self, read: FileRead, seen: SeenFiles | None = None) -> nw.LazyFrame[Any]:
        """Read files lazily. JSON lines and, when types are inferred, CSV are looked through first.

        Raises
        ------
        SourceError
            Missing, broken, or not what the declaration says.
        """
        with self._lock, translated(self._reads):
            files = files_of(read)
        if seen is not None:
            seen.add(files)
        with self._lock, translated(self._reads, scanned=Source(read, files)):
            found = scan_files(read, files, self._con)
            if isinstance(found, str):
                name = self._unique("laktory_scan")
                self._con.execute(f"CREATE TEMP VIEW {identifier(name)} AS {found}")
                self._reads[name] = Source(read, files)
            else:
                refuse_names(nw.Schema.from_polars(found.collect_schema()), repr(read.path))
                stream = PolarsStream(found)
                name = self._register(stream)
                self._reads[name] = Source(read, files, stream)
            return nw.from_native(call_methods(self._named(name), read))

    def adopt(self, frame: Any) -> nw.LazyFrame[Any]:
        """Take in a frame of any library, a mapping of columns or a list of rows.

        A plan of Polars is computed once, into a temporary file: each query would else compute it again.

        Raises
        ------
        SourceError
            It is none of these, or its values do not make columns.
        """
        native = nw.to_native(frame, pass_through=True)
        with self._lock, translated(self._reads):
            if isinstance(native, duckdb.DuckDBPyRelation):
                return nw.from_native(self._own(native))
            try:
                taken = native if isinstance(native, pl.LazyFrame) else in_memory(native)
            except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
                msg = f"the data of type {type(native).__name__!r} cannot be taken in: {reason(error)}"
                raise SourceError(msg) from error
            refuse_names(nw.Schema.from_polars(taken.collect_schema()), "the data")
            if isinstance(taken, pl.LazyFrame):
                path = self._scratch / f"{self._unique('adopted')}.arrow"
                taken.sink_ipc(path)
                taken = pl.scan_ipc(path, glob=False)
            return nw.from_native(self._named(self._register(PolarsStream(taken.lazy()))))

    def sql(self, statement: str, frames: Mapping[str, nw.LazyFrame[Any]]) -> nw.LazyFrame[Any]:
        """One query over exactly the named frames.

        Raises
        ------
        StepError
            The statement cannot be planned.
        """
        with self._lock, translated(self._reads):
            relations = {name: self._own(nw.to_native(frame)) for name, frame in frames.items()}
            self._planner(files=settings.allow_sql_files).refuse(statement, relations)
            sources = {relation: self._source(relation) for relation in relations.values()}
            twice = named_twice(statement, relations)
            once = {relation for relation in twice if not is_plain_scan(relation)}
            relation, text = query(self._con, statement, relations, sources, once)
            self._queries[relation] = text
            columns_of(relation)  # while it is bound: the next view changes the catalog
            return nw.from_native(relation)

    def check_sql(self, statement: str) -> tuple[str, int | None, int | None] | None:
        """Syntax error as ``(message, line, column)`` or None."""
        with self._lock:
            return syntax_error(self._con, statement)

    def schema(self, frame: nw.LazyFrame[Any]) -> nw.Schema:
        """Columns and types as files hold them: a ``SUM`` of integers is Int64.

        Raises
        ------
        StepError
            Two columns have one name.
        """
        with self._lock, translated(self._reads):
            native = nw.to_native(frame)
            refuse_equal_names([name for name, _ in columns_of(native)])
            return stored_schema(native)

    def exactly(self, frame: nw.LazyFrame[Any], types: nw.Schema, path: str) -> nw.LazyFrame[Any]:
        """The frame with other types; computing a value that loses nanoseconds by it is a `SinkError`."""
        with self._lock, translated(self._reads):
            native = stored(nw.to_native(frame))
            return nw.from_native(native.project(exactly(native, types, path)))

    def fetch(self, frame: nw.LazyFrame[Any]) -> pl.DataFrame:
        """Compute now.

        Raises
        ------
        SourceError, StepError
            A source, or a step on it, fails.
        """
        with self._lock, translated(self._reads):
            found: pl.DataFrame = stored(nw.to_native(frame)).pl()
        return found

    def collect(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """Compute now, into a temporary table.

        Raises
        ------
        SourceError, StepError
            A source, or a step on it, fails.
        """
        name = self._unique("laktory_result")
        with self._lock, translated(self._reads):
            stored(nw.to_native(frame)).query(
                "laktory_frame", f"CREATE TEMP TABLE {identifier(name)} AS FROM laktory_frame"
            )
            return nw.from_native(self._con.table(name))

    def once(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """A plain scan itself; anything else is computed now, into a temporary table.

        Raises
        ------
        SourceError, StepError
            A source, or a step on it, fails.
        """
        with self._lock:
            plain = is_plain_scan(nw.to_native(frame))
        return frame if plain else self.collect(frame)

    def stage(self, outputs: Sequence[Output]) -> list[Staged]:
        """Write the outputs of one node.

        Raises
        ------
        SourceError, StepError, SinkError
            A source, a step on it, or a place to write to fails.
        """
        staged = [str(Path(output.path).absolute()) for output in outputs]
        with self._lock, translated(self._reads, staged, scratch=str(self._scratch)):
            if self._stopped:
                msg = "the run was stopped"
                raise RunInterrupted(msg)
            return stage_outputs(outputs, self._con, self._unique, self._queries)

    def stream(self, read: FileRead, checkpoint: str, each: Callable[[Batch], None], **options: Any) -> None:
        """DUCKDB follows no source.

        Raises
        ------
        UnsupportedError
            Always.
        """
        del checkpoint, each, options
        msg = f"{read.path!r}: DUCKDB reads no streams"
        raise UnsupportedError(msg)

    def interrupt(self) -> None:
        """Stop the query that is running, and let no output begin."""
        self._stopped = True
        if not self._closed:
            self._con.interrupt()

    def close(self) -> None:
        """Close the connection; its frames end with it."""
        self.interrupt()
        with self._lock:
            self._closed = True
            for name in self._registered:
                self._con.unregister(name)
            self._registered.clear()
            self._con.close()
            for planner in self._planners.values():
                planner.close()

    def _planner(self, *, files: bool) -> Planner:
        """What plans statements, which may read files or not."""
        if files not in self._planners:
            self._planners[files] = Planner(self._con if files else outside())
        return self._planners[files]

    def _unique(self, prefix: str) -> str:
        return f"{prefix}_{next(self._numbers)}"

    def _register(self, frame: Any) -> str:
        name = self._unique("laktory_data")
        self._con.register(name, frame)
        self._registered.append(name)
        return name

    def _named(self, name: str) -> duckdb.DuckDBPyRelation:
        """The relation that a view or a table stands for."""
        relation = self._con.view(name)
        self._views[relation] = name
        return relation

    def _own(self, relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
        """The relation with a view of its own if it is no query, copied if it belongs to another connection."""
        if relation not in self._views and relation not in self._queries:
            try:
                self._views[relation] = self._register(relation)
            except duckdb.InvalidInputException:
                return self._named(self._register(relation.to_arrow_table()))
        return relation

    def _source(self, relation: duckdb.DuckDBPyRelation) -> str:
        """A query for the rows of what `_own` gave: a view would have to be bound once more."""
        return self._queries.get(relation) or f"FROM {identifier(self._views[relation])}"
