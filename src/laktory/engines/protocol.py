"""What an engine must do. Everything else (order, retries, commits, progress, records) is written once above it.

A session belongs to one run. Frames that cross this border are always `narwhals.LazyFrame` over the
engine's own lazy frame; nothing is computed before `stage`, `collect` or a frame's own `collect()`.
Errors of the engine's libraries leave a session as `laktory.errors.SourceError`, `StepError` or
`SinkError` with a message a user understands; the library's exception is the `__cause__`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import narwhals as nw
    import polars as pl

    from laktory.engines.capabilities import Capabilities
    from laktory.engines.identity import SeenFiles

__all__ = ["Batch", "Catalog", "FileRead", "Output", "Session", "Staged", "TableFacts", "TableRead", "TableWrite"]


@dataclass(frozen=True, slots=True)
class FileRead:
    """What to read from files.

    Attributes
    ----------
    path : file, directory (files below it in name order; names starting with ``.`` or ``_`` are not data),
        glob or URL, already relative to the working directory
    format : upper-case format name
    files : exactly these files instead of `path`, in this order
    schema : expected columns; given to readers that take one, None to infer
    has_header, infer_schema : CSV (and EXCEL) only
    kwargs : reader keyword arguments in the engine's own words; they win over computed ones
    methods : ``(name, args, kwargs)`` called on the reader's result
    rows : ``(offset, count)`` to read only those rows of the whole, in file order
    version : Delta table version, None for the latest
    of_engine : the path is one of the engine's, as its user means it; others are Laktory's own, on this machine
    """

    path: str
    format: str
    files: tuple[str, ...] | None = None
    schema: nw.Schema | None = None
    has_header: bool = True
    infer_schema: bool = False
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    methods: Sequence[tuple[str, Sequence[Any], Mapping[str, Any]]] = ()
    rows: tuple[int, int] | None = None
    version: int | None = None
    of_engine: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """One frame to write to one staged place.

    Attributes
    ----------
    frame : what to write
    path : staged file to create, or, with `directory`, staged folder (exists, empty) to fill
    format : upper-case format name; DELTA arrives here as PARQUET
    directory : write one or more files into `path`, named ``{stem}-….{extension}{ending}``
    stem : unique beginning of the file names of a directory
    ending : ``.gz`` or ``.zst`` where the text files of a directory are compressed so
    kwargs : writer keyword arguments in the engine's own words
    partition_by : columns whose values become folders of a directory
    methods : ``(name, args, kwargs)`` applied to the writer, where the engine has one
    header : write the header line (CSV only; off for the part that is appended)
    """

    frame: nw.LazyFrame[Any]
    path: str
    format: str
    directory: bool = False
    stem: str = "part"
    ending: str = ""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    methods: Sequence[tuple[str, Sequence[Any], Mapping[str, Any]]] = ()
    partition_by: tuple[str, ...] = ()
    header: bool = True


@dataclass(frozen=True, slots=True)
class Staged:
    """What `Session.stage` wrote for one output: its files (absolute paths, not yet fsynced) and row count."""

    files: tuple[str, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What is new in a stream.

    Attributes
    ----------
    number : counts from 0; a batch that was not finished comes again with its number, and is the same
    files : new files, to be read as any others; None if `frame` holds the rows
    """

    number: int
    files: tuple[str, ...] | None = None
    frame: nw.LazyFrame[Any] | None = None


@dataclass(frozen=True, slots=True)
class TableRead:
    """A table or view to read.

    Attributes
    ----------
    name : parts of its name, the table last; those left out are the session's
    kwargs : reader options in the engine's own words
    methods : ``(name, args, kwargs)`` called on the reader
    """

    name: tuple[str, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    methods: Sequence[tuple[str, Sequence[Any], Mapping[str, Any]]] = ()


@dataclass(frozen=True, slots=True)
class TableWrite:
    """One frame to write to a table.

    Attributes
    ----------
    frame : what to write
    name : parts of the table's name, the table last; those left out are the session's
    format : upper-case format of the table's files
    mode : ``OVERWRITE``, ``APPEND``, or ``ERROR`` if the table must not be there
    kwargs, methods : writer options, and ``(name, args, kwargs)`` called on the writer, in the engine's own words
    once : name of the write and its number: a table that takes names (`Capabilities.appends_once`) appends what has
        this name, and no higher number than it has seen, only once
    """

    frame: nw.LazyFrame[Any]
    name: tuple[str, ...]
    format: str
    mode: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    methods: Sequence[tuple[str, Sequence[Any], Mapping[str, Any]]] = ()
    once: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What a catalog says of a name: whether it is a view, and the upper-case format of a table, if it tells."""

    view: bool
    format: str | None = None


class Catalog(Protocol):
    """Tables and views that an engine knows by name. Writing is the engine's own commit: it cannot be staged."""

    def read(self, read: TableRead) -> nw.LazyFrame[Any]:
        """Read a table or view lazily. Missing or unreadable: `SourceError`."""
        ...

    def look(self, name: tuple[str, ...]) -> TableFacts | None:
        """What there is of this name, None for nothing."""
        ...

    def check(self, write: TableWrite) -> None:
        """Refuse with a `SinkError` what cannot be appended to a table that is there."""
        ...

    def write(self, write: TableWrite) -> None:
        """Write now. The schema of the name is made if need be. `SinkError`; what the frame reads may fail too."""
        ...

    def define(self, name: tuple[str, ...], statement: str) -> None:
        """Make a view, or replace it. `SinkError`, and `StepError` for what is wrong with the statement."""
        ...

    def drop(self, name: tuple[str, ...]) -> None:
        """Remove the table or view, if it is there. `SinkError`."""
        ...

    @staticmethod
    def quoted(name: Sequence[str]) -> str:
        """A name as statements have it."""
        ...


class Session(Protocol):
    """One engine during one run. Opened by the runner, closed by it, used from several threads
    only when `capabilities.parallel`."""

    capabilities: Capabilities
    methods: Mapping[str, Callable[..., nw.LazyFrame[Any]]]
    """Methods of frames to call, with the frame first, where Narwhals does not do them right on this engine,
    or at more cost than the engine needs."""
    catalog: Catalog | None
    """Tables by name; None unless `capabilities.tables`."""
    in_reach: bool
    """Whether the engine sees the files of this machine. Otherwise it reads what is `FileRead.of_engine` where it is,
    takes other files and gives what it stages through Arrow, and keeps what it collects."""

    @staticmethod
    def may_be_elsewhere() -> bool:
        """Whether only an open session can tell if it is `in_reach`. Needs no open session."""
        ...

    @staticmethod
    def arguments(format: str, *, writer: bool = False, directory: bool = False) -> Collection[str]:  # noqa: A002
        """Keyword arguments of the reader of a format, or of its writer (of a directory of files), in the engine's
        own words. Needs no open session."""
        ...

    @staticmethod
    def native_schema(schema: nw.Schema) -> Any:
        """A schema in the engine's own words. Needs no open session."""
        ...

    @staticmethod
    def native_sql(text: str) -> Any:
        """A SQL expression, guarded, as one of the engine's own. Needs no open session."""
        ...

    @staticmethod
    def reader_methods() -> Collection[str]:
        """Names of the methods that can be called on what a reader gives. Needs no open session."""
        ...

    def enter(self) -> None:
        """The calling thread begins to use the session; what it asks for afterwards is planned as the session says."""
        ...

    def scan(self, read: FileRead, seen: SeenFiles | None = None) -> nw.LazyFrame[Any]:
        """Read files lazily. Missing or unreadable: `SourceError`, now or when the frame is computed.

        `seen` notes the files before they are opened; checked after the frame was computed, it tells whether
        one of them was replaced in between."""
        ...

    def adopt(self, frame: Any) -> nw.LazyFrame[Any]:
        """Take in a frame of any library (narwhals or native, another engine's, Arrow, ``dict`` of columns,
        ``list`` of rows) through Arrow, without a copy where the libraries allow."""
        ...

    def sql(self, statement: str, frames: Mapping[str, nw.LazyFrame[Any]]) -> nw.LazyFrame[Any]:
        """One query over exactly the named frames. The statement has passed the guard in `transforms.sql`."""
        ...

    def check_sql(self, statement: str) -> tuple[str, int | None, int | None] | None:
        """Syntax error of a statement as ``(message, line, column)``, 1-based, or None. Runs nothing."""
        ...

    def schema(self, frame: nw.LazyFrame[Any]) -> nw.Schema:
        """Columns and types of a frame, nothing computed. What cannot be planned is a `StepError` or `SourceError`."""
        ...

    def exactly(self, frame: nw.LazyFrame[Any], types: nw.Schema, path: str) -> nw.LazyFrame[Any]:
        """The frame with the types that a Delta table at `path` has for its columns. A value that would lose
        nanoseconds by it is a `SinkError` when it is computed."""
        ...

    def fetch(self, frame: nw.LazyFrame[Any]) -> pl.DataFrame:
        """Compute a small frame now and bring it into this process."""
        ...

    def collect(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """Compute a small frame now and give it back as an in-memory lazy frame."""
        ...

    def once(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """The frame, such that a plan that names it several times computes it once: a step that picks any row must
        not pick another one each time. SQL needs no help with a frame that one statement names twice."""
        ...

    def stage(self, outputs: Sequence[Output]) -> list[Staged]:
        """Write the outputs of one node, each row computed once whatever the number of outputs.

        Shared upstream work of the frames is evaluated once. A failure leaves only files at the staged places.
        """
        ...

    def stream(
        self,
        read: FileRead | TableRead,
        checkpoint: str,
        each: Callable[[Batch], None],
        *,
        shape: Callable[[nw.LazyFrame[Any]], nw.LazyFrame[Any]] | None = None,
        whole: bool = False,
    ) -> None:
        """Hand over all that is new in files, a Delta table or a table by name since the last call with this
        checkpoint, a folder; only of engines with `capabilities.streams`. What `each` raises ends the stream, and the
        batch comes again.

        `shape`, for a Delta table only, is applied to the stream itself: the engine remembers, in the checkpoint, what
        of earlier batches it needs for that. With `whole` each batch is all that `shape` gives of all rows so far."""
        ...

    def interrupt(self) -> None:
        """Stop what is running, from another thread. What cannot be stopped finishes in the background."""
        ...

    def close(self) -> None:
        """Release what the session holds. Frames it gave out that are only plans over files stay readable."""
        ...
