"""Reading a source: from files, memory, a function or another node; then the options applied after reading."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from laktory.engines.errors import reason
from laktory.engines.protocol import FileRead, TableRead
from laktory.engines.scans import count_rows
from laktory.errors import DefinitionError, LaktoryError, SourceError, StepError, within
from laktory.log import get_logger
from laktory.models.custom import LaktoryContext
from laktory.models.datasources import (
    CustomDataSource,
    DataFrameDataSource,
    FileDataSource,
    HiveMetastoreDataSource,
    PipelineNodeDataSource,
    TableDataSource,
    UnityCatalogDataSource,
)
from laktory.paths import url_scheme
from laktory.runtime.custom import call
from laktory.transforms.methods import refuse_other_than_truth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import narwhals as nw

    from laktory.engines.identity import SeenFiles
    from laktory.engines.protocol import Session
    from laktory.models.datasources.base import BaseDataSource
    from laktory.models.pipeline.pipelinenode import PipelineNode
    from laktory.planning import NodePlan
    from laktory.runtime.node import NodeContext

    Frame = nw.LazyFrame[Any]

__all__ = ["file_read", "post_read", "read", "row_count", "rows_in", "table_read"]

_log = get_logger(__name__)

_ORIGIN: dict[type[BaseDataSource], tuple[str]] = {
    FileDataSource: ("path",),
    HiveMetastoreDataSource: ("table_name",),
    UnityCatalogDataSource: ("table_name",),
    PipelineNodeDataSource: ("node_name",),
    DataFrameDataSource: ("data",),
    CustomDataSource: ("custom_reader",),
}
"""The field of a source that says where its rows are."""


def read(
    source: BaseDataSource,
    session: Session,
    upstream: Callable[[str, Session], Frame],
    seen: SeenFiles | None = None,
    batch: Frame | None = None,
    *,
    shaped: bool = False,
) -> Frame:
    """Read a source lazily and apply its options.

    Parameters
    ----------
    upstream : gives the frame of a node for a session
    seen : notes the files that are read
    batch : rows of a stream, which are there already
    shaped : the options were applied to them
    """
    kind, backend = type(source).__name__, source.dataframe_backend
    _log.info("Reading `%s` %s with %s", kind, source.description, backend)
    with _options_taken(source), within(*_ORIGIN.get(type(source), ())):
        frame = _frame(source, session, upstream, seen) if batch is None else batch
    frame = frame if shaped else post_read(source, frame, session)
    _log.info("Read completed.")
    return frame


@contextmanager
def _options_taken(source: BaseDataSource) -> Iterator[None]:
    """What a reader makes of a value that is none of its options' is told of the options."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, LaktoryError) or not (isinstance(source, FileDataSource) and source.reader_kwargs):
            raise
        with within("reader_kwargs"):
            msg = f"the {source.format} reader cannot work with these values: {reason(error)}"
            raise SourceError(msg) from error


def _frame(
    source: BaseDataSource, session: Session, upstream: Callable[[str, Session], Frame], seen: SeenFiles | None
) -> Frame:
    if source._df is not None:
        return session.adopt(source._df)
    if isinstance(source, PipelineNodeDataSource):
        return upstream(source.node_name, session)
    if isinstance(source, FileDataSource):
        own = source.dataframe_backend.value == session.capabilities.name
        return session.scan(replace(file_read(source), of_engine=own), seen)
    if isinstance(source, TableDataSource) and session.catalog is not None:
        return session.catalog.read(table_read(source))
    if isinstance(source, DataFrameDataSource):
        return session.adopt(source.df if source.df is not None else source.data)
    if isinstance(source, CustomDataSource):
        pipeline, node = source.parent_pipeline, source.parent_pipeline_node
        context = LaktoryContext(node=node, pipeline=pipeline, source=source)
        found = call(source.custom_reader, pipeline.imports if pipeline else (), context)
        if found is None:
            msg = f"{source.custom_reader.func_name!r} gives nothing, not a frame"
            raise SourceError(msg)
        try:
            return session.adopt(found)
        except SourceError as error:
            msg = f"{source.custom_reader.func_name!r} gives no frame: {error}"
            raise SourceError(msg) from error
    msg = f"cannot read a {type(source).__name__} with the {session.capabilities.name} backend"
    raise DefinitionError(msg)


def file_read(source: FileDataSource) -> FileRead:
    """A file source as the engine's request."""
    return FileRead(
        path=source.path,
        format=source.format,
        schema=source.schema_definition.to_narwhals() if source.schema_definition else None,
        has_header=source.has_header,
        infer_schema=source.infer_schema,
        kwargs=source.reader_kwargs,
        methods=tuple((method.name, method.args, method.kwargs) for method in source.reader_methods),
    )


def table_read(source: TableDataSource) -> TableRead:
    """A table source as the engine's request."""
    methods = tuple((method.name, method.args, method.kwargs) for method in source.reader_methods)
    return TableRead(source.parts, source.reader_kwargs, methods)


def row_count(session: Session, frame: Frame) -> int:
    """Count the rows of a frame now."""
    import narwhals as nw

    return int(session.fetch(frame.select(nw.len())).item())


def post_read(source: BaseDataSource, frame: Frame, session: Session) -> Frame:
    """Apply ``filter``, ``selects``, ``renames``, ``drops``, ``drop_duplicates``, in this order."""
    if source.filter:
        with _option("filter"):
            predicate = _compiled(source, "filter", source.filter, frame.collect_schema(), per_row=True)
            refuse_other_than_truth(frame, predicate)
            frame = frame.filter(predicate)
    if source.selects:
        with _option("selects"):
            frame = _selected(source, frame)
            frame.collect_schema()
    if source.renames or source.drops or isinstance(source.drop_duplicates, list):
        _require_columns(source, frame)
    if source.renames:
        with _option("renames"):
            frame = frame.rename(source.renames)
            frame.collect_schema()
    if source.drops:
        frame = frame.drop(*source.drops, strict=False)
    if source.drop_duplicates:
        subset = source.drop_duplicates if isinstance(source.drop_duplicates, list) else None
        frame = session.methods.get("unique", type(frame).unique)(frame, subset, keep="any")
    return frame


@contextmanager
def _option(name: str) -> Iterator[None]:
    """What an engine refuses at once is told as other errors of the option are."""
    with within(name):
        try:
            yield
        except LaktoryError:
            raise
        except Exception as error:
            msg = f"{name!r} cannot be computed on these columns: {reason(error)}"
            raise StepError(msg) from error


def _selected(source: BaseDataSource, frame: Frame) -> Frame:
    import narwhals as nw

    from laktory.expressions.sql import is_aggregate, parse_sql

    schema, named = frame.collect_schema(), isinstance(source.selects, dict)
    texts = list(source.selects or ())
    per_row = not any(text.strip() != "*" and is_aggregate(parse_sql(text)) for text in texts)
    chosen: list[nw.Expr] = []
    for position, text in enumerate(texts):
        if text.strip() == "*":
            chosen.append(nw.all())
            continue
        with within(text if named else position):
            compiled = _compiled(source, "selects", text, schema, per_row=per_row)
        chosen.append(compiled.alias(source.selects[text]) if isinstance(source.selects, dict) else compiled)
    return frame.select(*chosen)


def _compiled(source: BaseDataSource, option: str, text: str, schema: nw.Schema, *, per_row: bool) -> nw.Expr:
    from laktory.expressions.sql import columns, compile_sql, parse_sql

    for name in sorted(columns(parse_sql(text)) - set(schema)):
        raise _missing(source, option, name, schema.names())
    return compile_sql(text, schema, per_row=per_row)


def _missing(source: BaseDataSource, option: str, name: str, columns: Sequence[str]) -> StepError:
    """Engines differ in what they say of a missing column, or say nothing."""
    from laktory.diagnostics import closest

    hint = closest(name, columns) or "columns: " + ", ".join(columns[:20])
    return StepError(
        f"{option!r} of source {source.description!r} names the column {name!r}, which is not there; {hint}"
    )


def _require_columns(source: BaseDataSource, frame: Frame) -> None:
    columns = frame.collect_schema().names()
    left = [(source.renames or {}).get(name, name) for name in columns]
    if source.drops and set(left) <= set(source.drops):
        msg = f"'drops' of source {source.description!r} leaves no column; columns: {', '.join(left[:20])}"
        with within("drops"):
            raise StepError(msg)
    for name in source.renames or ():
        if name not in columns:
            with within("renames", name):
                raise _missing(source, "renames", name, columns)
    left = [name for name in left if name not in (source.drops or ())]
    for position, name in enumerate(source.drop_duplicates if isinstance(source.drop_duplicates, list) else ()):
        if name not in left:
            with within("drop_duplicates", position):
                raise _missing(source, "drop_duplicates", name, left)


def rows_in(node: PipelineNode, plan: NodePlan, context: NodeContext) -> int | None:
    """Rows of everything a node reads, None where they could only be counted by reading them.

    Nodes of the run have counted theirs; files that keep types keep their counts too, which an engine that reads them
    natively finds without reading rows.
    """
    session, count = context.sessions.get(plan.engine), 0
    names = [read.what for read in plan.reads if read.kind == "PIPELINE_NODE"]
    if context.named or not plan.reads or not session.in_reach:
        return None
    for name in names:
        result = context.results.get(name)
        if result is None or result.rows is None:
            return None
        count += result.rows
    for source in node.external_sources:
        if source._df is not None or not isinstance(source, FileDataSource) or url_scheme(source.path):
            return None
        support = session.capabilities.formats[source.format]
        if not support.typed or support.via != "native" or source.reader_kwargs or source.reader_methods:
            return None
        try:
            count += count_rows(file_read(source))
        except LaktoryError:  # told where the node reads it
            return None
    return count
