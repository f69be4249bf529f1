"""Tables by name: which engine has them, nodes that meet in one, and views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from laktory.diagnostics import Problem
from laktory.engines.capabilities import ENGINES
from laktory.graph import ancestors
from laktory.models.base import is_variable
from laktory.models.dataframe import DataFrameExpr
from laktory.models.datasinks import TableDataSink
from laktory.models.datasources import PipelineNodeDataSource, TableDataSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from laktory.diagnostics import Path
    from laktory.engines.capabilities import Capabilities
    from laktory.models.pipeline.pipeline import Pipeline
    from laktory.models.pipeline.pipelinenode import PipelineNode
    from laktory.models.tablename import TableNamed

__all__ = [
    "iceberg_problem",
    "is_table",
    "meeting_problems",
    "table_key",
    "table_problems",
    "table_sinks",
    "view_problems",
    "view_step",
    "view_tables",
]

_AFTER_READING = ("filter", "selects", "renames", "drops", "drop_duplicates")


def is_table(sink: Any) -> TypeGuard[TableDataSink]:
    """Whether a sink is a table or view that the engine writes, not a function of the user's."""
    return isinstance(sink, TableDataSink) and sink.custom_writer is None


def table_sinks(node: PipelineNode) -> list[tuple[int, TableDataSink]]:
    """Tables and views that the engine of a node writes, with their places among its sinks."""
    return [(number, sink) for number, sink in enumerate(node.sinks) if is_table(sink)]


def table_key(named: TableNamed) -> str:
    """What is the same for two names of one table; catalogs differ in whether case counts."""
    return named.full_name.casefold()


def table_problems(named: TableDataSource | TableDataSink, engine: Capabilities) -> Iterator[Problem]:
    """Problems of one source or sink; paths start there."""
    if not engine.tables:
        able = [name for name, found in ENGINES.items() if found.tables]
        message = f"tables by name are not supported by the {engine.name} backend of this version, only by"
        message = f"{message} {', '.join(able)}: {named.full_name!r}"
        hint = f"set 'dataframe_backend: {able[0]}', or name files with 'path' and 'format'"
        yield Problem(message, ("table_name",), hint=hint)
        return
    if named.catalog_name is not None and named.schema_name is None:
        message = f"a catalog is given and no schema: {named.full_name!r} would be a table of the schema"
        message = f"{message} {named.catalog_name!r}"
        yield Problem(message, ("catalog_name",), hint="add 'schema_name'")
    if isinstance(named, TableDataSink) and not named.is_view and named.format not in engine.table_formats:
        message = f"tables of the format {named.format!r} cannot be written with {engine.variant or engine.name}"
        message = f"{message}: {engine.no_iceberg}" if named.format == "ICEBERG" else message
        yield Problem(message, ("format",), sorted(engine.table_formats))


def iceberg_problem(engine: Capabilities) -> Problem:
    """ICEBERG as the format of a path: it is one of tables."""
    if "ICEBERG" in engine.table_formats:
        return Problem(
            "ICEBERG is a format of tables, which a path does not name", ("format",), hint="use 'table_name'"
        )
    message = f"format 'ICEBERG' is not supported with {engine.variant or f'the {engine.name} backend'}"
    return Problem(f"{message}: {engine.no_iceberg}", ("format",))


def meeting_problems(pipeline: Pipeline) -> Iterator[Problem]:
    """Tables that two sinks write, or that a node reads while nothing says whether another one writes them before."""
    nodes = [node for node in pipeline.nodes if not is_variable(node)]
    upstream = {node.name: node.upstream_node_names for node in nodes}
    written: dict[str, tuple[PipelineNode, str]] = {}
    places: dict[str, Path] = {}
    for index, node in enumerate(pipeline.nodes):
        for number, sink in [] if is_variable(node) else table_sinks(node):
            key, where = table_key(sink), f"nodes[{index}].sinks[{number}]"
            at: Path = ("nodes", index, "sinks", number, "table_name")
            if key in written:
                message = f"{where} writes to the table {sink.full_name!r}, as {written[key][1]} does"
                yield Problem(f"{message}: one would undo the other", at)
            written.setdefault(key, (node, where))
            places.setdefault(key, at)
    for node in nodes:
        for source in node.external_sources:
            if not isinstance(source, TableDataSource) or table_key(source) not in written:
                continue
            writer, _ = written[table_key(source)]
            if writer is node or writer.name in ancestors(upstream, [node.name]):
                continue
            if node.name not in ancestors(upstream, [writer.name]):
                message = f"node {writer.name!r} writes the table {source.full_name!r}, which node {node.name!r} reads"
                hint = f"let {node.name!r} read 'node_name: {writer.name}', or connect the two with 'depends_on'"
                at = places[table_key(source)]
                yield Problem(f"{message}, and nothing says which of them runs first", at, hint=hint)


# ---- views ---------------------------------------------------------------------------------------


def view_step(node: PipelineNode, sink: TableDataSink) -> DataFrameExpr | None:
    """The SQL of a view: its own, else the only step of its node; None if there is neither."""
    if isinstance(sink.view_definition, DataFrameExpr):
        return sink.view_definition
    steps = node.transformer.nodes if node.transformer is not None else []
    return steps[0] if len(steps) == 1 and isinstance(steps[0], DataFrameExpr) else None


def view_tables(node: PipelineNode) -> dict[str, tuple[str, ...] | None]:
    """What the placeholders of a view's SQL stand for: parts of names; None for a node whose rows are in no table."""
    found: dict[str, tuple[str, ...] | None] = {}
    pipeline = node.parent_pipeline
    names = pipeline.nodes_dict if pipeline is not None else {}

    def table_of(name: str) -> tuple[str, ...] | None:
        sink = names[name].primary_sink if name in names else None
        return sink.parts if isinstance(sink, TableDataSink) and is_table(sink) else None

    for position, source in enumerate(node.sources):
        parts = source.parts if isinstance(source, TableDataSource) else None
        if isinstance(source, PipelineNodeDataSource):
            parts = table_of(source.node_name)
        if position == 0:
            found["df"] = parts
        if source.name:
            found[f"sources.{source.name}"] = parts
    return found | {f"nodes.{name}": table_of(name) for name in node.upstream_node_names}


def view_problems(node: PipelineNode) -> Iterator[Problem]:
    """Problems of a node that makes a view, besides those of its SQL; paths start at the node."""
    yield from _company_problems(node)
    tables = view_tables(node)
    for number, sink in table_sinks(node):
        if not sink.is_view:
            continue
        step, own = view_step(node, sink), sink.view_definition is not None
        if own and node.transformer is not None:
            message = "a view has one definition, and this node has a transformer besides"
            yield Problem(message, ("transformer",), hint="remove it, or 'view_definition'")
        elif step is None and node.transformer is None:
            message = 'View definition must be provided for "VIEW" `table_type`.'
            hint = "add 'view_definition', or a transformer of one SQL step"
            yield Problem(message, ("sinks", number, "table_type"), hint=hint)
        elif step is None:
            message = "the transformer of a view is exactly one SQL step"
            yield Problem(message, ("transformer", "nodes"), hint="write all of it in one 'expr'")
        if step is None:
            continue
        path: Path = ("sinks", number, "view_definition") if own else ("transformer", "nodes", 0)
        for key in dict.fromkeys(step.references):
            if key in tables and tables[key] is None and key.startswith("nodes."):
                message = f"Source node {key.removeprefix('nodes.')!r} sink is not of type `TableDataSink`"
                yield Problem(
                    message, (*path, "expr"), hint="a view reads tables: give that node a table as first sink"
                )
            elif key not in tables and not own:
                message = f"{{{key}}} is a frame of one run, and a view reads tables"
                yield Problem(message, (*path, "expr"))


def _company_problems(node: PipelineNode) -> Iterator[Problem]:
    """What cannot stand in a node that makes a view."""
    for number, sink in enumerate(node.sinks):
        if not isinstance(sink, TableDataSink) or not sink.is_view:
            message = f"node {node.name!r} makes a view, and this sink is none: a view computes no rows to write"
            yield Problem(message, ("sinks", number), hint="move it to a node of its own")
    for index, _ in enumerate(node.rules[:1]):
        message = f"node {node.name!r} makes a view, whose rows nobody computes: expectations cannot judge them"
        yield Problem(message, ("expectations", index), hint="remove them, or write a table")
    for position, source in enumerate(node.sources):
        at: Path = ("sources", position)
        if isinstance(source, PipelineNodeDataSource):
            names = node.parent_pipeline.nodes_dict if node.parent_pipeline is not None else {}
            other = names.get(source.node_name)
            if other is not None and not is_table(other.primary_sink):
                message = f"Source node {source.node_name!r} sink is not of type `TableDataSink`"
                hint = "a view reads tables: give that node a table as first sink"
                yield Problem(message, (*at, "node_name"), hint=hint)
        elif not isinstance(source, TableDataSource):
            message = f"a view reads tables, or nodes that write tables, found a {type(source).__name__}"
            yield Problem(message, at)
        for option in _AFTER_READING:
            if getattr(source, option):
                yield Problem(
                    f"{option!r} is not applied to what a view reads", (*at, option), hint="say it in the SQL"
                )
