"""Columns that a node has before its rules are checked, as far as its definition tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laktory.engines.capabilities import ENGINES
from laktory.errors import ExpressionError
from laktory.graph import ancestors, find_cycle, sort
from laktory.models.base import is_variable
from laktory.models.dataframe import DataFrameExpr
from laktory.models.datasources import DataFrameDataSource, FileDataSource, PipelineNodeDataSource

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from laktory.models.dataframe import DataFrameTransformer
    from laktory.models.pipeline.pipelinenode import PipelineNode

__all__ = ["Columns", "stage_columns"]

_KEEPING = frozenset({"drop_nulls", "filter", "head", "sort", "tail", "top_k", "unique"})
"""Methods that leave the columns as they are."""


Columns = list[str] | None
"""Names in order; None where only the data tell."""


def stage_columns(nodes: Mapping[str, PipelineNode], wanted: Collection[str]) -> dict[str, Columns]:
    """Columns of the wanted nodes and of those that they read; nothing where nodes read one another in a circle.

    Parameters
    ----------
    nodes : the pipeline's nodes by name
    wanted : names of some
    """
    if not wanted:
        return {}
    upstream = {name: [other for other in node.upstream_node_names if other in nodes] for name, node in nodes.items()}
    if find_cycle(upstream) is not None:
        return {}
    needed = {*wanted, *ancestors(upstream, wanted)}
    found: dict[str, Columns] = {}
    for name in sort({name: upstream[name] for name in nodes if name in needed}):
        found[name] = _columns(nodes[name], found)
    return found


def _columns(node: PipelineNode, others: Mapping[str, Columns]) -> Columns:
    known = {f"nodes.{name}": others.get(name) for name in node.upstream_node_names}
    for index, source in enumerate(node.sources):
        columns = None if is_variable(source) else _source_columns(source, others)
        known |= {"df": columns} if index == 0 else {}
        if not is_variable(source) and source.name:
            known[f"sources.{source.name}"] = columns
    if node.transformer is None:
        return known.get("df")
    dialect = ENGINES[node.dataframe_backend.value].dialect
    return None if is_variable(node.transformer) else _transformed(node.transformer, known, dialect)


def _transformed(transformer: DataFrameTransformer, known: Mapping[str, Columns], dialect: str) -> Columns:
    from laktory.expressions.projection import projected

    found = known.get("df")
    for step in transformer.nodes:
        if is_variable(step):
            return None
        if isinstance(step, DataFrameExpr):
            text = step.statement(dialect)
            found = projected(text, dialect, {**known, "df": found}) if isinstance(text, str) else None
        elif step.func_name not in _KEEPING or step.dataframe_api == "NATIVE":
            found = None
    return found


def _source_columns(source: Any, others: Mapping[str, Columns]) -> Columns:
    found: Columns = None
    if source._df is not None:
        return None
    if isinstance(source, PipelineNodeDataSource):
        found = others.get(source.node_name)
    elif isinstance(source, FileDataSource) and source.schema_definition is not None:
        # arguments and methods of a reader may add columns
        as_it_is = source.reader_kwargs or source.reader_methods
        found = None if as_it_is else list(source.schema_definition.to_narwhals())
    elif isinstance(source, DataFrameDataSource) and isinstance(source.data, dict):
        found = list(source.data)
    if source.selects:
        found = _selected(source.selects, found)
    if found is None:
        return None
    renames, drops = source.renames or {}, source.drops or []
    return [name for name in (renames.get(name, name) for name in found) if name not in drops]


def _selected(selects: Any, found: Columns) -> Columns:
    from laktory.expressions.sql import output_name, parse_sql

    names: list[str] = []
    try:
        for text in selects:
            if text.strip() == "*":
                if found is None:
                    return None
                names += found
            else:
                names.append(selects[text] if isinstance(selects, dict) else output_name(parse_sql(text)))
    except ExpressionError:  # told where it is written
        return None
    return names
