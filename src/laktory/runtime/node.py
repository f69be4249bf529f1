"""One node: read, transform, write, and what is left of it for others to read."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laktory.engines.identity import SeenFiles
from laktory.engines.protocol import TableRead
from laktory.errors import DefinitionError, LaktoryError, RunError, SourceError, within
from laktory.log import get_logger
from laktory.models.datasinks import FileDataSink
from laktory.models.datasources import PipelineNodeDataSource
from laktory.planning.streams import is_complete
from laktory.planning.tables import is_table, table_sinks
from laktory.runtime.ledger import failed_rows, file_sinks, is_whole, read_again, scratch_line
from laktory.runtime.quality import Quality, judge_node, refuse_lost_rows
from laktory.runtime.reading import post_read, read, row_count
from laktory.runtime.stored import stored_read
from laktory.runtime.tables import Table, begun, catalog_of, define_view, finish_table, held_by, looked_at, view_frame
from laktory.runtime.writing import (
    Written,
    carrier,
    scratch_output,
    sink_place,
    stage_scratch,
    sync_scratch,
    write_custom,
    write_files,
)
from laktory.storage import append_line, delta_schema, file_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import narwhals as nw

    from laktory.engines.protocol import FileRead, Session
    from laktory.models.pipeline.pipelinenode import PipelineNode
    from laktory.planning import NodePlan
    from laktory.runtime.gate import Gate
    from laktory.runtime.record import RunFolder
    from laktory.runtime.sessions import Sessions
    from laktory.storage import Locks

    Frame = nw.LazyFrame[Any]

__all__ = ["NodeContext", "NodeResult", "execute", "finish_custom", "kept_result"]

_log = get_logger(__name__)


@dataclass(slots=True)
class NodeResult:
    """What a node left behind.

    Attributes
    ----------
    frame : what `output` is, None as long as nobody asked for what was written
    read : file that holds the same rows with the same types, for consumers on another engine and resumed runs
    shown : how to read what was written, if there is no `read`
    table : name of the table or view that holds it, if nothing else does
    stage : frame before anything was written
    engine : backend that holds `output`
    rows : rows of the output, None when it was not computed
    quality : what its rules found, None without rules
    written : one for each file sink
    tables : table sinks, with the rows each received
    sessions : keeps the engines alive as long as the frames
    seen : files that `output` reads
    """

    frame: Frame | None
    engine: str
    stage: Frame | None = None
    read: FileRead | None = None
    shown: FileRead | None = None
    table: tuple[str, ...] | None = None
    rows: int | None = None
    quality: Quality | None = None
    written: list[Written] = field(default_factory=list)
    tables: list[tuple[Table, int | None]] = field(default_factory=list)
    sessions: Sessions | None = None
    seen: SeenFiles = field(default_factory=SeenFiles)

    @property
    def output(self) -> Frame | None:
        """Frame that consumers of the node's engine read.

        What was written is opened when it is asked for: a file that cannot be read back is no reason to call a node
        failed whose rows are committed, and to write them again.

        Raises
        ------
        SourceError
            It cannot be read back.
        """
        found = self.read or self.shown
        if self.frame is None and found is not None and self.sessions is not None:
            try:
                self.frame = self.sessions.get(self.engine).scan(found, self.seen)
            except SourceError as error:
                msg = f"the rows were written, but {found.path!r} cannot be read back: {error}"
                raise SourceError(msg) from error
        if self.frame is None and found is None and self.table is not None and self.sessions is not None:
            self.frame = catalog_of(self.sessions.get(self.engine)).read(TableRead(self.table))
        return self.frame

    @property
    def quarantine(self) -> Frame | None:
        """Rows that rules took out, with the columns of the stage frame; None without rules."""
        if self.quality is None or self.sessions is None:
            return None
        if not self.quality.of_rows:
            frame = self.output if self.stage is None else self.stage
            return None if frame is None else frame.head(0)
        return self.quality.quarantine(self.sessions.get(self.engine))


@dataclass(slots=True)
class NodeContext:
    """What a node needs of its run."""

    results: Mapping[str, NodeResult]
    sessions: Sessions
    named: Mapping[str, Any]
    folder: RunFolder | None
    intents: Path | None
    locks: Locks | None
    run_id: str
    gate: Gate
    replace_all: bool = False
    write_sinks: bool = True
    apply_transformer: bool = True
    once: tuple[str, int] = ("", 1)
    """What names the writes of the run to tables, as `laktory.runtime.tables.looked_at` takes it."""
    tables: Mapping[tuple[str, int], str] = field(default_factory=dict)
    """What a killed run has begun of table sinks, as `laktory.runtime.tables.begun`."""


def execute(node: PipelineNode, plan: NodePlan, context: NodeContext) -> NodeResult:
    """Run one node of a plan.

    Raises
    ------
    LaktoryError
        Whatever stood at the node's targets still stands.
    """
    _log.info("Executing pipeline node %s", node.name)
    session = context.sessions.get(plan.engine)
    if plan.how == "streamed":
        return _follow(node, plan, session, context)
    seen = SeenFiles()
    result = None
    try:
        if node.is_view and context.write_sinks:
            return _define_views(node, plan, context)
        frame = view_frame(node, session) if node.is_view else _stage_frame(node, session, context, seen)
        result = NodeResult(frame=frame, engine=plan.engine, stage=frame, sessions=context.sessions, seen=seen)
        if node.rules:
            frame = _judge(node, plan, session, context, result)
        if plan.how == "written" and context.write_sinks:
            _write(node, plan, frame, session, context, result)
        elif plan.how == "materialised":
            _materialise(node, plan, frame, session, context, result)
        else:
            # what cannot be built is told by the node it stands in, not by a consumer
            session.schema(frame)
    except LaktoryError as error:
        if isinstance(error, SourceError):
            seen.check()  # a file that was cut short meanwhile looks damaged: that it changed says more
        if result is not None and result.quality is not None:
            error.facts = result.quality.facts()
        raise
    return result


def _follow(node: PipelineNode, plan: NodePlan, session: Session, context: NodeContext) -> NodeResult:
    """Run a node once for each batch of its stream."""
    from laktory.runtime.streaming import Followed, batches_of, follow

    assert context.intents is not None
    whole = is_complete(node)
    checkpoint, total, root = batches_of(node), Followed(whole), context.intents.parent
    checkpoint.open(refresh=context.replace_all)
    static = SeenFiles()

    def body(number: int, rows: Frame, schema: Any, seen: SeenFiles) -> None:
        context.gate.check()
        _log.info("Batch %d of node %s", number, node.name)
        seen.merge(static)
        own = replace(context, replace_all=whole or checkpoint.replaces(), once=(checkpoint.generation, number + 1))
        entry = checkpoint.entry(number, schema)
        if table_sinks(node):
            with checkpoint.batch(number, entry) as folder:
                own = replace(own, folder=folder, tables=begun(folder.entries()))
                total.add(_batch_of_tables(node, plan, session, own, rows, seen))
            assert context.folder is not None
            total.tidy_up(folder, context.folder)
        else:
            total.add(_batch(node, plan, session, own, rows, seen, {"ledger": str(checkpoint.ledger), "entry": entry}))

    follow(node, session, root, checkpoint, body, shape=_shape(node, session, context, static), whole=whole)
    result = NodeResult(None, plan.engine, table=held_by(node), rows=total.rows, sessions=context.sessions)
    result.quality, result.written, result.tables = total.quality, total.written, [*total.tables.values()]
    sink = node.primary_sink
    if isinstance(sink, FileDataSink) and sink.exists():
        result.shown = stored_read(sink, session, root)
    return result


def _shape(
    node: PipelineNode, session: Session, context: NodeContext, seen: SeenFiles
) -> Callable[[Frame], Frame] | None:
    """What the engine itself makes of the stream, because it looks at rows of other batches; None if nothing does."""
    if is_complete(node):
        return lambda rows: _stage_frame(node, session, context, seen, rows, shaped=False)
    [source] = [source for source in node.sources if source.as_stream]
    return (lambda rows: post_read(source, rows, session)) if source.drop_duplicates else None


def _batch(
    node: PipelineNode,
    plan: NodePlan,
    session: Session,
    context: NodeContext,
    rows: Frame,
    seen: SeenFiles,
    note: dict[str, Any] | None = None,
) -> NodeResult:
    frame = rows if is_complete(node) else _stage_frame(node, session, context, seen, rows)
    part = NodeResult(frame, plan.engine, frame, sessions=context.sessions, seen=seen)
    if node.rules:
        frame = _judge(node, plan, session, context, part)
    _write(node, plan, frame, session, context, part, note)
    return part


def _batch_of_tables(
    node: PipelineNode, plan: NodePlan, session: Session, context: NodeContext, rows: Frame, seen: SeenFiles
) -> NodeResult:
    """A batch with tables among its sinks, which one commit cannot hold: a killed one goes on with the rows it had."""
    folder = context.folder
    assert folder is not None
    entry = next((line for line in folder.entries() if "read" in line), None)
    if entry is None:
        return _batch(node, plan, session, context, rows, seen)
    if entry["digest"] != plan.digest or not is_whole(entry, node, folder):
        msg = "a batch of the stream was cut off between its sinks, and since then the node, or what was written, has"
        raise RunError(f"{msg} changed: run what it was once, or with 'full_refresh'")
    if _shape(node, session, context, seen) is not None:
        row_count(session, rows)  # as `laktory.runtime.streaming.follow`
    return finish_custom(node, kept_result(node, entry, folder, context.sessions), context)


def kept_result(node: PipelineNode, entry: Mapping[str, Any], folder: RunFolder, sessions: Sessions) -> NodeResult:
    """What a node left that was committed before. Its entry `is_whole`."""
    found = entry.get("quality")
    return NodeResult(
        None,
        node.dataframe_backend.value,
        read=read_again(entry, node, folder),
        table=held_by(node),
        rows=entry["rows"],
        quality=Quality.resumed(node.rules, found, failed_rows(entry, folder)) if found else None,
        sessions=sessions,
    )


def _judge(node: PipelineNode, plan: NodePlan, session: Session, context: NodeContext, result: NodeResult) -> Frame:
    """Check the node's rules: the rows that stay."""

    def upstream(name: str) -> Frame:
        return _upstream(node, name, session, context, result.seen)

    assert result.stage is not None
    judged = judge_node(
        node, result.stage, session, upstream, result.seen, context.folder, context.sessions, again=plan.again
    )
    result.stage, result.frame, result.quality = judged.stage, judged.output, judged.quality
    return judged.output


def _stage_frame(
    node: PipelineNode,
    session: Session,
    context: NodeContext,
    seen: SeenFiles,
    batch: Frame | None = None,
    *,
    shaped: bool = True,
) -> Frame:
    """What a node has before its rules; `batch` are the rows of its stream, without duplicates if they are `shaped`."""

    def upstream(name: str, for_session: Session) -> Frame:
        return _upstream(node, name, for_session, context, seen)

    frames: dict[str, Frame | None] = {}
    for name, value in context.named.items():
        frames[name] = session.adopt(value)
    first: Frame | None = None
    for position, source in enumerate(node.sources):
        with within("sources", position):
            given = batch if source.as_stream else None
            done = given is not None and shaped and bool(source.drop_duplicates)
            frame = read(source, session, upstream, seen, given, shaped=done)
        first = frame if position == 0 else first
        if source.name:
            frames[f"sources.{source.name}"] = frame
        if isinstance(source, PipelineNodeDataSource):
            frames.setdefault(f"nodes.{source.node_name}", frame)
    frames["df"] = first
    if node.transformer is not None and context.apply_transformer:
        from laktory.transforms import apply

        with within("transformer"):
            for name in node.transformer.upstream_node_names:
                frames[f"nodes.{name}"] = upstream(name, session)
            first = apply(
                first,
                node.transformer.nodes,
                session=session,
                frames=frames,
                read=lambda source: read(source, session, upstream, seen),
            )
    if first is None:
        msg = "nothing is read: the node has neither a source nor a transformer"
        raise DefinitionError(msg)
    return first


def _upstream(node: PipelineNode, name: str, session: Session, context: NodeContext, seen: SeenFiles) -> Frame:
    """Rows of another node: what it produced in this run, else what its sinks hold."""
    result = context.results.get(name)
    if result is not None:
        _log.info("Reading pipeline node %s from output DataFrame", name)
        # a frame of an engine belongs to its session: that of an earlier run is another one
        if result.engine == session.capabilities.name and result.sessions is context.sessions:
            output = result.output
            assert output is not None
            seen.merge(result.seen)
            return output
        if result.read is not None:
            return session.scan(result.read, seen)
        output = session.adopt(result.output)
        seen.merge(result.seen)
        return output
    pipeline = node.parent_pipeline
    sink = pipeline.nodes_dict[name].primary_sink if pipeline is not None else None
    if sink is not None and is_table(sink):
        _log.info("Reading pipeline node %s from %s", name, sink.full_name)
        owner = context.sessions.get(sink.dataframe_backend.value)
        table = catalog_of(owner).read(TableRead(sink.parts))
        return table if owner is session else session.adopt(table)
    if not isinstance(sink, FileDataSink):
        msg = f"node {name!r} is not part of this run and has no sink that could be read instead"
        raise DefinitionError(msg)
    _log.info("Reading pipeline node %s from %s", name, sink.path)
    return session.scan(stored_read(sink, session, Path(pipeline.root_path).absolute()), seen)


def _write(
    node: PipelineNode,
    plan: NodePlan,
    frame: Frame,
    session: Session,
    context: NodeContext,
    result: NodeResult,
    note: dict[str, Any] | None = None,
) -> None:
    """Write the file sinks; `note` says which ledger gets which entry, by default that of the run."""
    sinks = file_sinks(node)
    files = [sink for sink in sinks if not sink.is_quarantine]
    customs = [sink for sink in node.sinks if sink not in sinks]
    scratch, schema, moment = None, session.schema(frame), datetime.now(UTC)
    tables = _tables(node, frame, session, context, result)
    if _goes_directly(node, plan, tables):
        _write_directly(node, plan, tables[0], frame, session, context, result)
        return
    if not session.in_reach:
        _write_elsewhere(node, plan, frame, session, context, result)
        return
    readable = any(_will_be_readable(sink, schema, session, context) for sink in files)
    if _differ(files, schema, context):
        # outputs that are not simply the frame (old rows before it, other types) are made from one evaluation of it
        frame, result.read, rows = _to_scratch(node, plan, frame, session, context, result.seen)
        refuse_lost_rows(result.quality, None, rows)
    elif (plan.consumers or customs or _not_read_back(files)) and not readable:
        assert context.folder is not None
        scratch, result.read = scratch_output(
            frame, context.folder.scratch, node.name, _scratch_format(plan, session), session
        )
    assert context.folder is not None and context.intents is not None and context.locks is not None
    entry = {"node": node.name, "digest": plan.digest, "time": moment.timestamp()} | _quality_line(result)
    note = note or {"ledger": str(context.folder.ledger), "entry": entry}
    result.written, result.rows = write_files(
        [_for_sink(sink, frame, session, context, result, moment) for sink in sinks],
        sinks,
        session,
        run_id=context.run_id,
        replace_all=context.replace_all,
        intent=str(context.intents / f"{file_name(node.name)}.json"),
        note={"root": str(context.intents.parent), **note, "entry": {"node": node.name, **note["entry"]}},
        locks=context.locks,
        gate=context.gate,
        scratch=scratch,
        scratch_read=result.read,
        seen=result.seen,
        verify=partial(refuse_lost_rows, result.quality),
    )
    result.read = result.read or carrier(result.written)
    result.shown = next((item.read for item in result.written if item.read and not item.sink.is_quarantine), None)
    if result.read or result.shown:
        result.frame, result.seen = None, SeenFiles()
    if customs:
        finish_custom(node, result, context)


def _for_sink(
    sink: Any, output: Frame, session: Session, context: NodeContext, result: NodeResult, moment: datetime
) -> Frame:
    """What a sink of the node gets: the output, or the rows in quarantine."""
    if not sink.is_quarantine:
        return output
    assert result.quality is not None
    with within(*sink_place(sink), "details"):
        return result.quality.for_sink(sink, session, context.run_id, moment)


def _quality_line(result: NodeResult) -> dict[str, Any]:
    """What the ledger holds of a node's rules."""
    quality = result.quality
    if quality is None or (quality.of_rows and quality.read is None):
        return {}
    return {"quality": quality.line() | {"failed": quality.read and scratch_line(quality.read)}}


def finish_custom(node: PipelineNode, result: NodeResult, context: NodeContext) -> NodeResult:
    """Write a node's tables and run its custom writers, from what it committed; the ledger says when they got through.

    In the order of the sinks. None of it can be part of a commit of files.
    """
    assert context.folder is not None
    session, moment = context.sessions.get(result.engine), datetime.now(UTC)
    if node.is_view:
        for number, view in table_sinks(node):
            context.gate.check()
            define_view(view, node, session)
            result.tables.append((Table(view, number, "OVERWRITE"), None))
    else:
        tables = {}
        if table_sinks(node) and any(context.tables.get((node.name, n)) != "" for n, _ in table_sinks(node)):
            output = result.output
            assert output is not None
            tables = {table.number: table for table in _tables(node, output, session, context, result)}
        for number, sink in enumerate(node.sinks):
            context.gate.check()  # it may have been stopped since the other sinks were committed
            if number in tables:
                _finish_table(tables[number], session, context, result, moment)
            elif sink.custom_writer is not None:
                assert result.output is not None
                with within(*sink_place(sink), "custom_writer"):
                    write_custom(_for_sink(sink, result.output, session, context, result, moment), sink)
    append_line(str(context.folder.ledger), json.dumps({"node": node.name, "custom_writers": "done"}))
    return result


def _finish_table(table: Table, session: Session, context: NodeContext, result: NodeResult, moment: datetime) -> None:
    assert context.folder is not None and result.output is not None
    frame = _for_sink(table.sink, result.output, session, context, result, moment)
    finish_table(table, frame, session, context.folder.ledger)
    result.tables.append((table, _rows_for(table.sink, result) if table.mode else 0))


def _rows_for(sink: Any, result: NodeResult) -> int | None:
    return result.quality.moved if sink.is_quarantine and result.quality is not None else result.rows


def _tables(
    node: PipelineNode, frame: Frame, session: Session, context: NodeContext, result: NodeResult
) -> list[Table]:
    """Table sinks of a node, held against the tables that are there: what cannot be written is told before a commit."""
    moment = datetime.now(UTC)
    return looked_at(
        node,
        session,
        lambda sink: _for_sink(sink, frame, session, context, result, moment),
        once=context.once,
        replace_all=context.replace_all,
        lines=context.tables,
        rows_for=lambda sink: _rows_for(sink, result),
    )


def _goes_directly(node: PipelineNode, plan: NodePlan, tables: Sequence[Table]) -> bool:
    """Whether a frame is computed straight into a table: nobody else wants it, and the table is replaced in one step.

    What is added to a table has to be the same rows again after a kill, and other formats are removed first. What the
    batches of a stream bring is counted.
    """
    alone = len(node.sinks) == 1 and not node.rules and not plan.consumers and plan.how != "streamed"
    return alone and len(tables) == 1 and tables[0].mode == "OVERWRITE" and tables[0].sink.format == "DELTA"


def _write_directly(
    node: PipelineNode,
    plan: NodePlan,
    table: Table,
    frame: Frame,
    session: Session,
    context: NodeContext,
    result: NodeResult,
) -> None:
    assert context.folder is not None
    result.seen.check()
    context.gate.check()
    finish_table(table, frame, session, context.folder.ledger)
    result.tables.append((table, None))
    result.frame, result.table, result.seen = None, table.sink.parts, SeenFiles()
    _append_entry(node, plan, context, result)
    append_line(str(context.folder.ledger), json.dumps({"node": node.name, "custom_writers": "done"}))


def _write_elsewhere(
    node: PipelineNode, plan: NodePlan, frame: Frame, session: Session, context: NodeContext, result: NodeResult
) -> None:
    """Write tables from rows that are kept nowhere but in the engine: a killed run leaves nothing to go on with."""
    _collect(frame, session, result)
    finish_custom(node, result, context)
    _append_entry(node, plan, context, result)


def _collect(frame: Frame, session: Session, result: NodeResult) -> None:
    """Compute a frame into what the session keeps by itself."""
    seen, result.seen = result.seen, SeenFiles()
    result.frame = session.collect(frame)
    seen.check()
    if not session.in_reach:
        result.rows = row_count(session, result.frame)
        refuse_lost_rows(result.quality, None, result.rows)


def _define_views(node: PipelineNode, plan: NodePlan, context: NodeContext) -> NodeResult:
    result = NodeResult(None, plan.engine, table=held_by(node), sessions=context.sessions)
    _append_entry(node, plan, context, result)
    return finish_custom(node, result, context)


def _append_entry(node: PipelineNode, plan: NodePlan, context: NodeContext, result: NodeResult) -> None:
    """The ledger line of a node of which nothing is staged."""
    assert context.folder is not None
    moment = datetime.now(UTC).timestamp()
    entry = {"node": node.name, "digest": plan.digest, "time": moment, "rows": result.rows, "read": None, "writes": []}
    append_line(str(context.folder.ledger), json.dumps(entry | _quality_line(result)))


def _differ(sinks: Sequence[FileDataSink], schema: Any, context: NodeContext) -> bool:
    """Whether several sinks would be written from frames of their own."""
    appends = any(sink.write_mode == "APPEND" and not context.replace_all for sink in sinks)
    casts = any(sink.format == "DELTA" and delta_schema(schema) != schema for sink in sinks)
    return len(sinks) > 1 and (appends or casts)


def _not_read_back(sinks: Sequence[FileDataSink]) -> bool:
    """Whether reading a sink needs to know how it was written: partitions, dialects of text."""
    return any(sink.partition_by or (sink.format == "CSV" and sink.writer_kwargs) for sink in sinks)


def _will_be_readable(sink: FileDataSink, schema: Any, session: Session, context: NodeContext) -> bool:
    """Whether the committed sink gives back this run's rows with their types, before it is written."""
    if not session.capabilities.formats[sink.format].typed:
        return False
    if sink.format == "DELTA" and delta_schema(schema) != schema:
        return False
    return not sink.partition_by and (sink.write_mode != "IGNORE" or context.replace_all)


def _scratch_format(plan: NodePlan, session: Session) -> str:
    """An intermediate result that another engine reads is Parquet; otherwise what this engine does best."""
    return "PARQUET" if plan.crosses_engines else session.capabilities.scratch


def _materialise(
    node: PipelineNode, plan: NodePlan, frame: Frame, session: Session, context: NodeContext, result: NodeResult
) -> None:
    if context.folder is None or not session.in_reach:
        _collect(frame, session, result)
        return
    seen, result.seen = result.seen, SeenFiles()
    result.frame, result.read, result.rows = _to_scratch(node, plan, frame, session, context, seen)
    refuse_lost_rows(result.quality, None, result.rows)
    entry: dict[str, Any] = {"node": node.name, "digest": plan.digest, "rows": result.rows, "writes": []}
    entry |= _quality_line(result)
    with context.gate:
        append_line(str(context.folder.ledger), json.dumps(entry | {"read": scratch_line(result.read)}))


def _to_scratch(
    node: PipelineNode,
    plan: NodePlan,
    frame: Frame,
    session: Session,
    context: NodeContext,
    seen: SeenFiles,
) -> tuple[Frame, FileRead, int]:
    """Compute a frame into an intermediate file: the frame that reads it, how to read it again, its rows."""
    assert context.folder is not None
    output, read_again = scratch_output(
        frame, context.folder.scratch, node.name, _scratch_format(plan, session), session
    )
    staged = stage_scratch(output, session)
    seen.check()
    sync_scratch(output)
    return session.scan(read_again), read_again, staged.rows
