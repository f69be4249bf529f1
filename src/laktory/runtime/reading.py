"""Reading a source: from files, memory, a function or another node; then the options applied after reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laktory.engines.protocol import FileRead
from laktory.errors import DefinitionError, StepError
from laktory.log import get_logger
from laktory.models.custom import LaktoryContext
from laktory.models.datasources import (
    CustomDataSource,
    DataFrameDataSource,
    FileDataSource,
    PipelineNodeDataSource,
)
from laktory.runtime.custom import call

if TYPE_CHECKING:
    from collections.abc import Callable

    import narwhals as nw

    from laktory.engines.identity import SeenFiles
    from laktory.engines.protocol import Session
    from laktory.models.datasources.base import BaseDataSource

    Frame = nw.LazyFrame[Any]

__all__ = ["file_read", "post_read", "read", "row_count"]

_log = get_logger(__name__)


def read(
    source: BaseDataSource,
    session: Session,
    upstream: Callable[[str, Session], Frame],
    seen: SeenFiles | None = None,
) -> Frame:
    """Read a source lazily and apply its options.

    Parameters
    ----------
    upstream : gives the frame of a node for a session
    seen : notes the files that are read
    """
    kind, backend = type(source).__name__, source.dataframe_backend
    _log.info("Reading `%s` %s with %s", kind, source.description, backend)
    frame = post_read(source, _frame(source, session, upstream, seen))
    _log.info("Read completed.")
    return frame


def _frame(
    source: BaseDataSource, session: Session, upstream: Callable[[str, Session], Frame], seen: SeenFiles | None
) -> Frame:
    if source._df is not None:
        return session.adopt(source._df)
    if isinstance(source, PipelineNodeDataSource):
        return upstream(source.node_name, session)
    if isinstance(source, FileDataSource):
        return session.scan(file_read(source), seen)
    if isinstance(source, DataFrameDataSource):
        return session.adopt(source.df if source.df is not None else source.data)
    if isinstance(source, CustomDataSource):
        pipeline, node = source.parent_pipeline, source.parent_pipeline_node
        context = LaktoryContext(node=node, pipeline=pipeline, source=source)
        return session.adopt(call(source.custom_reader, pipeline.imports if pipeline else (), context))
    msg = f"cannot read a {type(source).__name__}"
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


def row_count(session: Session, frame: Frame) -> int:
    """Count the rows of a frame now."""
    import narwhals as nw

    return int(session.collect(frame.select(nw.len())).collect("polars").item())


def post_read(source: BaseDataSource, frame: Frame) -> Frame:
    """Apply ``filter``, ``selects``, ``renames``, ``drops``, ``drop_duplicates``, in this order."""
    if source.filter or source.selects:
        from laktory.expressions.sql import compile_sql, is_aggregate, parse_sql

        if source.filter:
            frame = frame.filter(compile_sql(source.filter, frame.collect_schema(), per_row=True))
        if source.selects:
            items = source.selects.items() if isinstance(source.selects, dict) else [(t, None) for t in source.selects]
            schema = frame.collect_schema()
            per_row = not any(text.strip() != "*" and is_aggregate(parse_sql(text)) for text, _ in items)
            frame = frame.select(*(_selected(text, name, schema, per_row=per_row) for text, name in items))
    if source.renames or source.drops or isinstance(source.drop_duplicates, list):
        _require_columns(source, frame)
    if source.renames:
        frame = frame.rename(source.renames)
    if source.drops:
        frame = frame.drop(*source.drops, strict=False)
    if source.drop_duplicates:
        subset = source.drop_duplicates if isinstance(source.drop_duplicates, list) else None
        frame = frame.unique(subset, keep="any")
    return frame


def _selected(text: str, name: str | None, schema: nw.Schema, *, per_row: bool) -> Any:
    import narwhals as nw

    from laktory.expressions.sql import compile_sql

    if text.strip() == "*":
        return nw.all()
    compiled = compile_sql(text, schema, per_row=per_row)
    return compiled.alias(name) if name else compiled


def _require_columns(source: BaseDataSource, frame: Frame) -> None:
    """Engines differ in what they say of a missing column, or say nothing."""
    from laktory.diagnostics import closest

    columns = frame.collect_schema().names()
    left = [(source.renames or {}).get(name, name) for name in columns]
    if source.drops and set(left) <= set(source.drops):
        msg = f"'drops' of source {source.description!r} leaves no column; columns: {', '.join(left[:20])}"
        raise StepError(msg)
    wanted = {"renames": list(source.renames or ())}
    if isinstance(source.drop_duplicates, list):
        missing = [name for name in source.drop_duplicates if name not in left]
        if missing:
            wanted["drop_duplicates"] = missing
            columns = [name for name in left if name not in missing]
    for option, names in wanted.items():
        for name in names:
            if name not in columns:
                hint = closest(name, columns)
                msg = f"{option!r} of source {source.description!r} names the column {name!r}, which is not there"
                raise StepError(f"{msg}; {hint or 'columns: ' + ', '.join(columns[:20])}")
