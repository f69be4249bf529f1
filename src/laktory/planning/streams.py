"""What cannot be said of a node that reads a stream: its body sees one batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laktory.diagnostics import Problem
from laktory.models.datasinks import FileDataSink, TableDataSink
from laktory.models.datasources import FileDataSource, PipelineNodeDataSource, TableDataSource
from laktory.planning.tables import is_table, table_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from laktory.engines.capabilities import Capabilities
    from laktory.models.pipeline.pipelinenode import PipelineNode

__all__ = ["is_complete", "stream_problems"]

_OF_ALL_ROWS = frozenset({"group_by_and_agg", "head", "join_asof", "sort", "tail", "top_k", "unique", "window_filter"})
"""Methods whose result depends on rows of other batches."""

_BATCH = "a stream's rows come in batches, and this looks at all of them"
_NEEDS_ROWS = "needs a Delta table as its source, of which Spark remembers rows; files are read batch by batch"
_OF_A_TABLE = "write the files to a Delta table in one node, and follow that in another one"
_INSTEAD = "do it in a node that reads this one without 'as_stream'"


def is_complete(node: PipelineNode) -> bool:
    """Whether each batch of a node's stream replaces its sinks by the result of all rows so far."""
    return node.has_streaming_source and any(sink.write_mode == "COMPLETE" for sink in node.sinks)


def stream_problems(node: PipelineNode, engine: Capabilities) -> Iterator[Problem]:
    """Problems of a node with a source that is read as a stream; paths start at the node."""
    streams = [index for index, source in enumerate(node.sources) if source.as_stream]
    if not streams or not engine.streams:  # an engine without streams has said so
        return
    if len(streams) > 1:
        message = "two sources are streams; a node follows one"
        yield Problem(message, ("sources", streams[1], "as_stream"), hint="read one of them in a node of its own")
    yield from _source_problems(node.sources[streams[0]], streams[0], engine)
    followed = node.sources[streams[0]]
    for index, sink in enumerate(node.sinks):
        if isinstance(followed, TableDataSource) and is_table(sink) and table_key(sink) == table_key(followed):
            message = (
                f"node {node.name!r} follows the table that it writes: each run would read what the last one added"
            )
            yield Problem(message, ("sinks", index, "table_name"))
    if not node.sinks:
        yield Problem("a node that reads a stream needs a sink, which keeps what was read", ("name",))
    for index, sink in enumerate(node.sinks):
        for message, key, hint in _sink_faults(sink, engine):
            yield Problem(message, ("sinks", index, key), hint=hint)
    yield from (_complete_problems if is_complete(node) else _batch_problems)(node, engine)


def _batch_problems(node: PipelineNode, engine: Capabilities) -> Iterator[Problem]:
    """What looks at all rows, where the node sees those of one batch."""
    for index, step in enumerate(node.transformer.nodes if node.transformer else ()):
        if (said := _spans(step, engine)) is not None:
            path = ("transformer", "nodes", index, "expr" if hasattr(step, "expr") else "func_name")
            yield Problem(f"{_BATCH}: {said}", path, hint=_INSTEAD)
    for index, rule in enumerate(node.rules):
        if rule.type == "AGGREGATE" or rule.unique is not None:
            key = "type" if rule.type == "AGGREGATE" else "unique"
            yield Problem(f"{_BATCH}: rule {rule.name!r}", ("expectations", index, key), hint=_INSTEAD)


def _complete_problems(node: PipelineNode, engine: Capabilities) -> Iterator[Problem]:
    """What Spark cannot keep the result of all rows for."""
    for index, source in enumerate(node.sources):
        if source.as_stream and not _rows_are_followed(source):
            message = f"the mode COMPLETE {_NEEDS_ROWS}"
            yield Problem(message, ("sources", index, "as_stream"), hint=_OF_A_TABLE)
    for index, sink in enumerate(node.sinks):
        if sink.write_mode != "COMPLETE":
            message = "with the mode COMPLETE each batch replaces what the sinks hold: all of them have it, or none"
            yield Problem(message, ("sinks", index, "mode"), hint="use COMPLETE here too")
    steps = node.transformer.nodes if node.transformer else ()
    if all(_spans(step, engine) is None for step in steps):
        message = "the mode COMPLETE keeps the result of an aggregate up to date, and no step has one"
        yield Problem(message, ("sinks", 0, "mode"), hint="use APPEND, or leave 'mode' out")


def _rows_are_followed(source: Any) -> bool:
    """Whether Spark itself follows rows, not files that are read batch by batch."""
    if isinstance(source, PipelineNodeDataSource):
        sink = source.node.primary_sink
        return is_table(sink) or (isinstance(sink, FileDataSink) and sink.format == "DELTA")
    return isinstance(source, TableDataSource) or (isinstance(source, FileDataSource) and source.format == "DELTA")


def _source_problems(source: Any, index: int, engine: Capabilities) -> Iterator[Problem]:
    if source.drop_duplicates and not _rows_are_followed(source):
        message = f"'drop_duplicates' of a stream {_NEEDS_ROWS}"
        yield Problem(message, ("sources", index, "drop_duplicates"), hint=_OF_A_TABLE)
    if isinstance(source, PipelineNodeDataSource):
        upstream = source.node
        sink = upstream.primary_sink
        if not isinstance(sink, (FileDataSink, TableDataSink)) or sink.custom_writer is not None:
            message = f"node {source.node_name!r} has no file or table as its first sink that could be followed"
            yield Problem(message, ("sources", index, "node_name"))
        elif isinstance(sink, TableDataSink) and (sink.is_view or sink.format not in engine.appends_once):
            what = "makes a view" if sink.is_view else f"writes a table of the format {sink.format!r}"
            message = f"node {source.node_name!r} {what}: of tables, only those of the format "
            message = f"{message}{' or '.join(sorted(engine.appends_once))} tell what is added to them"
            yield Problem(message, ("sources", index, "as_stream"))
        elif sink.write_mode != "APPEND":
            message = f"node {source.node_name!r} replaces its sink at each run; only what is added can be followed"
            yield Problem(message, ("sources", index, "as_stream"), hint="give that sink the mode APPEND")
    elif not isinstance(source, (FileDataSource, TableDataSource)):
        yield Problem(f"a {type(source).__name__} cannot be read as a stream", ("sources", index, "as_stream"))


def _sink_faults(sink: Any, engine: Capabilities) -> Iterator[tuple[str, str, str | None]]:
    if sink.custom_writer is not None:
        yield "a custom writer cannot take batches: what it writes twice is doubled", "custom_writer", None
    elif isinstance(sink, TableDataSink) and sink.is_view:
        message = "a view is not read as a stream, but anew whenever somebody asks for its rows"
        yield message, "table_type", "leave 'as_stream' out"
    elif isinstance(sink, TableDataSink) and sink.format not in engine.appends_once:
        message = f"a table of the format {sink.format!r} would have a batch twice after a kill"
        yield message, "format", f"use {' or '.join(sorted(engine.appends_once))}"
    elif sink.write_mode not in {"APPEND", "COMPLETE"}:
        message = f"batches of a stream are added, and the mode {sink.write_mode!r} does not"
        yield message, "mode", "use APPEND, or leave 'mode' out; COMPLETE replaces by the aggregate of all rows"
    elif isinstance(sink, FileDataSink) and "APPEND" not in getattr(engine.formats.get(sink.format), "modes", "APPEND"):
        yield f"batches of a stream are added, which the format {sink.format!r} cannot", "format", None


def _spans(step: Any, engine: Capabilities) -> str | None:
    """What of a step looks at more than one row of the stream, in words."""
    if not hasattr(step, "expr"):
        return step.func_name if step.func_name.rpartition(".")[2] in _OF_ALL_ROWS else None
    from laktory.expressions.projection import spanning

    text = step.statement(engine.dialect)
    return spanning(text, engine.dialect) if isinstance(text, str) else None
