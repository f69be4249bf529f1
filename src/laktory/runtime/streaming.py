"""A node that reads a stream: its body runs once for each batch, and each batch is committed exactly once.

The engine keeps what its checkpoint has seen, and hands a batch over again that was not finished. Which batches were
committed stands in a ledger of ours beside that checkpoint, written by the same commit as the batch itself.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from laktory.checks import check_of
from laktory.engines.identity import SeenFiles
from laktory.engines.protocol import FileRead, TableRead
from laktory.errors import DefinitionError, SourceError, UnsupportedError, within
from laktory.log import get_logger
from laktory.models.dataframe.dataframeschema import DataFrameSchema
from laktory.models.datasinks import FileDataSink
from laktory.models.datasources import FileDataSource, PipelineNodeDataSource, TableDataSource
from laktory.planning.tables import is_table
from laktory.runtime.ledger import LEDGER, file_sinks, kept_read, settled
from laktory.runtime.reading import file_read, row_count, table_read
from laktory.runtime.record import RunFolder
from laktory.runtime.stored import schema_text, stored_read
from laktory.storage import append_line, remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import narwhals as nw

    from laktory.engines.protocol import Batch, Session
    from laktory.models.pipeline.pipelinenode import PipelineNode
    from laktory.runtime.node import NodeResult
    from laktory.runtime.quality import Quality
    from laktory.runtime.tables import Table
    from laktory.runtime.writing import Written

    Frame = nw.LazyFrame[Any]

__all__ = ["Checkpoint", "Followed", "batches_of", "follow", "streaming_source"]

_log = get_logger(__name__)


@dataclass(slots=True)
class Followed:
    """What the batches of a run have brought, added up.

    Attributes
    ----------
    whole : a batch is all there is so far: the last one counts
    """

    whole: bool = False
    batches: int = 0
    rows: int = 0
    quality: Quality | None = None
    written: list[Written] = field(default_factory=list)
    tables: dict[int, tuple[Table, int | None]] = field(default_factory=dict)

    def add(self, part: NodeResult) -> None:
        """One more batch; of one that a killed run has begun, what was left of it."""
        if self.whole:
            self.rows, self.quality, self.written, self.tables = 0, None, [], {}
        self.batches += 1
        self.rows += part.rows or 0
        self.quality = part.quality if self.quality is None else _sum(self.quality, part.quality)
        before = self.written or [replace(item, rows=0, bytes=0) for item in part.written]
        self.written = [
            replace(new, rows=(old.rows or 0) + (new.rows or 0), bytes=old.bytes + new.bytes)
            for old, new in zip(before, part.written, strict=True)
        ]
        for table, rows in part.tables:
            _, so_far = self.tables.get(table.number, (table, 0))
            self.tables[table.number] = (table, (so_far or 0) + (rows or 0))

    def tidy_up(self, batch: RunFolder, folder: RunFolder) -> None:
        """The folder of a batch that is done goes, but for the rows that failed rules: to the folder of the run."""
        self._keep_failed(folder)
        remove(str(batch.path))

    def _keep_failed(self, folder: RunFolder) -> None:
        if self.quality is None or self.quality.read is None:
            return
        folder.quarantine.mkdir(parents=True, exist_ok=True)
        place = folder.quarantine / Path(self.quality.read.path).name
        remove(str(place))
        shutil.move(self.quality.read.path, place)
        self.quality = replace(self.quality, read=kept_read(str(place), self.quality.read.format), failed=None)


def _sum(one: Quality, other: Quality | None) -> Quality:
    """Counts of two batches, judged together."""
    assert other is not None
    rows = one.rows + other.rows
    checks = {
        rule.name: check_of(
            rule, rows, (one.checks[rule.name].fails_count or 0) + (other.checks[rule.name].fails_count or 0)
        )
        for rule in one.rules
    }
    return replace(other, checks=checks, rows=rows, moved=one.moved + other.moved, dropped=one.dropped + other.dropped)


class Checkpoint:
    """Where a stream keeps its place.

    A refresh begins another generation, whose first batch replaces what the sinks hold; until then they keep it.

    Parameters
    ----------
    place : folder
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.ledger = place / "batches.jsonl"

    def open(self, *, refresh: bool) -> None:
        """Find the generation, begin another one if there is none or it is to be refreshed."""
        lines = self._lines()
        if refresh or not any("generation" in line for line in lines):
            self.place.mkdir(parents=True, exist_ok=True)
            append_line(str(self.ledger), json.dumps({"generation": token_hex(4), "replaces": refresh}))
        for left in (self.place / "runs").glob("*-*"):
            generation, _, number = left.name.partition("-")
            other = any(line.get("generation") == generation for line in lines) and generation != self.generation
            if other or (generation == self.generation and number.isdecimal() and self.holds(int(number))):
                remove(str(left))

    @property
    def generation(self) -> str:
        """Name of the generation."""
        return str(self._generation()["generation"])

    @property
    def folder(self) -> str:
        """The engine's own folder."""
        return str(self.place / self.generation)

    @contextmanager
    def batch(self, number: int, entry: Mapping[str, Any]) -> Iterator[RunFolder]:
        """A batch that one commit cannot hold: it has a folder, as a run has, and what stands in its ledger is done.

        Parameters
        ----------
        entry : goes to the ledger of the stream when the batch is through
        """
        folder = RunFolder(self.place, f"{self.generation}-{number}")
        if not any("read" in line for line in folder.entries()):
            remove(str(folder.path))
            folder.open({"ledger": LEDGER})
        yield folder
        append_line(str(self.ledger), json.dumps(entry))

    @property
    def schema(self) -> nw.Schema | None:
        """Types that the first batch was read with, where its files hold none."""
        text = next((line["schema"] for line in self._current() if line.get("schema")), None)
        return None if text is None else DataFrameSchema(columns=json.loads(text)).to_narwhals()

    def holds(self, number: int) -> bool:
        """Whether a batch was committed."""
        return any(line.get("batch") == number for line in self._current())

    def replaces(self) -> bool:
        """Whether the next batch replaces what the sinks hold."""
        return self._generation()["replaces"] and not any("batch" in line for line in self._current())

    def entry(self, number: int, schema: nw.Schema | None) -> dict[str, Any]:
        """What the ledger holds of a batch, in the words of its generation."""
        text = None if schema is None or self.schema is not None else schema_text(schema)
        return {"generation_of": self._generation()["generation"], "batch": number, "schema": text}

    def _generation(self) -> dict[str, Any]:
        return next(line for line in reversed(self._lines()) if "generation" in line)

    def _current(self) -> list[dict[str, Any]]:
        name = self._generation()["generation"]
        return [line for line in self._lines() if line.get("generation_of") == name]

    def _lines(self) -> list[dict[str, Any]]:
        try:
            text = self.ledger.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        try:
            return settled([json.loads(line) for line in text.splitlines() if line])
        except ValueError as error:
            msg = f"{str(self.ledger)!r} is damaged; a run with 'full_refresh' begins the stream anew"
            raise SourceError(msg) from error


def streaming_source(node: PipelineNode) -> tuple[int, Any] | None:
    """The source of a node that is read incrementally, with its position."""
    return next(((at, source) for at, source in enumerate(node.sources) if source.as_stream), None)


def batches_of(node: PipelineNode) -> Checkpoint:
    """The checkpoint of a node: that of its first sink."""
    place = node.sinks[0].checkpoint_path
    assert place is not None
    return Checkpoint(Path(place).absolute())


def follow(
    node: PipelineNode,
    session: Session,
    root: Path,
    checkpoint: Checkpoint,
    body: Callable[[int, Frame, Any, SeenFiles], None],
    *,
    shape: Callable[[Frame], Frame] | None,
    whole: bool,
) -> None:
    """Run the body of a node for each batch of its stream that was not committed yet.

    Parameters
    ----------
    root : root path of the pipeline
    body : takes the number of a batch, its rows before the options of the source, types to keep, and the files it reads
    shape, whole : as `laktory.engines.protocol.Session.stream` takes them
    """
    found = streaming_source(node)
    assert found is not None
    position, source = found
    limits = session.capabilities.stream_options
    with within("sources", position):
        read = _followed(source, session, root)

    def take(batch: Batch) -> None:
        if checkpoint.holds(batch.number):
            _log.info("Batch %d was committed before", batch.number)
            if shape is not None and batch.frame is not None:
                row_count(session, batch.frame)  # what is remembered for the next batch comes of computing this one
            return
        seen, schema = SeenFiles(), None
        frame = batch.frame
        if isinstance(read, FileRead) and batch.files is not None:
            if not batch.files:
                return
            options = {name: read.kwargs[name] for name in read.kwargs if name not in limits}
            whole = replace(read, files=batch.files, schema=read.schema or checkpoint.schema, kwargs=options)
            with within("sources", position):
                frame = session.scan(whole, seen)
            if read.schema is None and session.capabilities.formats[read.format].text:
                schema = session.schema(frame)
        assert frame is not None
        body(batch.number, frame, schema, seen)

    session.stream(read, checkpoint.folder, take, shape=shape, whole=whole)


def _followed(source: Any, session: Session, root: Path) -> FileRead | TableRead:
    """What is followed: files, a Delta table, a table by name, or what another node has written."""
    if isinstance(source, FileDataSource):
        return file_read(source)
    if isinstance(source, TableDataSource):
        return table_read(source)
    if not isinstance(source, PipelineNodeDataSource):
        msg = f"a {type(source).__name__} cannot be read as a stream"
        raise UnsupportedError(msg)
    sink = source.node.primary_sink
    if is_table(sink):
        return TableRead(sink.parts)
    if not isinstance(sink, FileDataSink) or sink not in file_sinks(source.node):
        msg = f"node {source.node_name!r} has no sink that could be read as a stream"
        raise DefinitionError(msg)
    return stored_read(sink, session, root)
