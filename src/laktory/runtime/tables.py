"""Tables and views by name. Writing one is the engine's own commit, so it comes after that of the node's files.

The ledger says of each table when its write begins and when it is done. A run that resumes one which was killed in
between knows by that what may be there already.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from laktory.engines.protocol import TableRead, TableWrite
from laktory.errors import DefinitionError, RunError, SinkError, within
from laktory.expressions.placeholders import substitute
from laktory.log import get_logger
from laktory.planning.tables import is_table, table_key, table_sinks, view_step, view_tables
from laktory.runtime.ledger import path_key
from laktory.runtime.writing import sink_place
from laktory.storage import Target, append_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import narwhals as nw

    from laktory.engines.protocol import Catalog, Session
    from laktory.models.datasinks import TableDataSink
    from laktory.models.pipeline.pipelinenode import PipelineNode

    Frame = nw.LazyFrame[Any]

__all__ = [
    "Table",
    "begun",
    "catalog_of",
    "define_view",
    "finish_table",
    "held_by",
    "lock_target",
    "looked_at",
    "table_marks",
    "view_frame",
    "write_alone",
]

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Table:
    """One table sink on its way.

    Attributes
    ----------
    number : its place among the sinks of the node
    mode : how it is written; "" to leave it as it is
    once : name and number of the write, for tables that append what has both only once
    """

    sink: TableDataSink
    number: int
    mode: str
    once: tuple[str, int] | None = None

    def line(self, mode: str) -> dict[str, Any]:
        """For the ledger; mode "" for a write that is done."""
        return {"sink": self.number, "key": _key(self.sink), "mode": mode}


def begun(lines: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], str]:
    """Node and number of the table sinks whose writes ledger lines tell of: how they began, "" if they are done."""
    found = [(line["node"], line["table"]) for line in lines if "table" in line]
    return {(node, table["sink"]): table["mode"] for node, table in found}


def catalog_of(session: Session) -> Catalog:
    """The tables of an engine that has some.

    Raises
    ------
    DefinitionError
        It has none.
    """
    if session.catalog is None:
        msg = f"the {session.capabilities.name} backend knows no tables by name"
        raise DefinitionError(msg)
    return session.catalog


def held_by(node: PipelineNode) -> tuple[str, ...] | None:
    """Name of the table that other runs read the node from."""
    sink = node.primary_sink
    return sink.parts if is_table(sink) else None


def lock_target(sink: TableDataSink) -> Target:
    """What stands for a table where runs lock what they write to: a name below the runtime root."""
    from laktory.settings import settings

    folder = Path(settings.runtime_root).absolute() / "tables"
    return Target(f"{folder}/{quote(table_key(sink), safe='')}", "file")


def looked_at(
    node: PipelineNode,
    session: Session,
    frame_for: Callable[[TableDataSink], Frame],
    *,
    once: tuple[str, int],
    replace_all: bool,
    lines: Mapping[tuple[str, int], str],
    rows_for: Callable[[TableDataSink], int | None],
) -> list[Table]:
    """Decide what the mode of each table sink of a node means here and now. Nothing is written yet.

    Parameters
    ----------
    frame_for : gives what a sink receives
    once : what is written, and its number: the same after a kill, and no lower than before
    lines : what a killed run has begun, as `begun`
    rows_for : gives the rows of that, where they are known

    Raises
    ------
    SinkError
        The table is there and must not be, or does not take the frame.
    """
    tables = []
    for number, sink in table_sinks(node):
        if sink.is_view or lines.get((node.name, number)) == "":
            continue
        with within(*sink_place(sink), "table_name"):
            before = lines.get((node.name, number))
            named = sink.format in session.capabilities.appends_once
            # the table that was being made may be there, with this name: appending to it adds nothing then
            told = None if named and sink.write_mode == "APPEND" else before
            mode = _mode(sink, catalog_of(session), replace_all=replace_all, before=told, rows=rows_for(sink))
            table = Table(sink, number, mode)
            if named:
                table = replace(table, once=(f"laktory {once[0]} {node.name} {number}", once[1]))
            elif mode == "APPEND" and before:
                msg = f"the run was stopped while it appended to the table {sink.full_name!r}: its rows may be there"
                raise RunError(f"{msg}, or not; look, then run without resuming")
            if mode:
                catalog_of(session).check(_request(table, frame_for(sink)))
            tables.append(table)
    return tables


def _mode(
    sink: TableDataSink, catalog: Catalog, *, replace_all: bool, before: str | None = None, rows: int | None = None
) -> str:
    mode = "OVERWRITE" if replace_all else sink.write_mode
    there = catalog.look(sink.parts)
    if there is not None and there.view:
        msg = f"{sink.full_name!r} is a view, and no table; drop it, or write to another name"
        raise SinkError(msg)
    if mode == "OVERWRITE":
        return mode
    if there is None:
        return "ERROR"
    if before == "ERROR":  # a table of our rows is what was being made
        import narwhals as nw

        found = catalog.read(TableRead(sink.parts)).select(nw.len()).collect("polars")
        if found.item() == rows:
            return ""
        msg = f"the run was stopped while it made the table {sink.full_name!r}, and there are other rows now"
        raise RunError(f"{msg}; look, then run without resuming")
    if mode == "IGNORE":
        _log.info("%s exists, mode IGNORE: left as it is", sink.full_name)
        return ""
    if mode == "ERROR":
        msg = f"the table {sink.full_name!r} exists and the mode is ERROR; drop it, or use the mode OVERWRITE or APPEND"
        raise SinkError(msg)
    return mode


def _request(table: Table, frame: Frame) -> TableWrite:
    sink = table.sink
    methods = tuple((method.name, method.args, method.kwargs) for method in sink.writer_methods)
    return TableWrite(frame, sink.parts, sink.format, table.mode, sink.writer_kwargs, methods, table.once)


def finish_table(table: Table, frame: Frame, session: Session, ledger: Path) -> None:
    """Write one table, told by the ledger before and after.

    Raises
    ------
    SinkError
        It cannot be written.
    """
    node = table.sink.parent_pipeline_node.name
    if table.mode:
        append_line(str(ledger), json.dumps({"node": node, "table": table.line(table.mode)}))
        _write(table, frame, session)
    append_line(str(ledger), json.dumps({"node": node, "table": table.line("")}))


def table_marks(node: PipelineNode) -> dict[str, tuple[str, str]]:
    """Tables that a node writes to without replacing what is there, by what ledgers have for them: name, mode."""
    added = [sink for _, sink in table_sinks(node) if not sink.is_view and sink.write_mode != "OVERWRITE"]
    return {_key(sink): (f"the table {sink.full_name!r}", sink.write_mode) for sink in added}


def _key(sink: TableDataSink) -> str:
    return path_key(f"table {table_key(sink)}")


def _write(table: Table, frame: Frame, session: Session) -> None:
    sink = table.sink
    _log.info("Writing static df to %s with format '%s' and %s", sink.full_name, sink.format, sink.writer_kwargs)
    with within(*sink_place(sink), "table_name"):
        catalog_of(session).write(_request(table, frame))
    _log.info("Write completed.")


def write_alone(sink: TableDataSink, frame: Frame, session: Session, *, replace_all: bool) -> None:
    """Write a table outside any run.

    Raises
    ------
    SinkError
        It cannot be written.
    """
    mode = _mode(sink, catalog_of(session), replace_all=replace_all)
    if mode:
        table = Table(sink, 0, mode)
        catalog_of(session).check(_request(table, frame))
        _write(table, frame, session)


# ---- views ---------------------------------------------------------------------------------------


def define_view(sink: TableDataSink, node: PipelineNode | None, session: Session) -> None:
    """Make a view, or replace it.

    Raises
    ------
    SinkError, StepError
        It cannot be made, or its SQL cannot be planned.
    """
    catalog = catalog_of(session)
    there = catalog.look(sink.parts)
    with within(*sink_place(sink), "table_name"):
        if there is not None and not there.view:
            msg = f"{sink.full_name!r} is a table, and no view; drop it, or make the view under another name"
            raise SinkError(msg)
    _log.info("Creating view %s", sink.full_name)
    with within(*_definition_place(sink)):
        catalog.define(sink.parts, _view_sql(sink, node, session))


def view_frame(node: PipelineNode, session: Session) -> Frame:
    """The rows that the view of a node would have, without making it."""
    sink = next(sink for _, sink in table_sinks(node) if sink.is_view)
    with within(*_definition_place(sink)):
        return session.sql(_view_sql(sink, node, session), {})


def _view_sql(sink: TableDataSink, node: PipelineNode | None, session: Session) -> str:
    step = sink.view_definition if node is None else view_step(node, sink)
    text = step.statement(session.capabilities.dialect) if step is not None else None
    if not isinstance(text, str):
        msg = f"the view {sink.full_name!r} has no definition"
        raise DefinitionError(msg)
    names = view_tables(node) if node is not None else {}
    return substitute(text, {key: catalog_of(session).quoted(parts) for key, parts in names.items() if parts})


def _definition_place(sink: TableDataSink) -> tuple[str | int, ...]:
    if sink.view_definition is not None:
        return (*sink_place(sink), "view_definition")
    return ("transformer", "nodes", 0, "expr")
