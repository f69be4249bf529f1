"""Columns that a node has before its rules are checked, as far as its definition tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laktory.errors import ExpressionError
from laktory.models.base import is_variable
from laktory.models.datasources import DataFrameDataSource, FileDataSource, PipelineNodeDataSource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from laktory.models.dataframe import DataFrameTransformer
    from laktory.models.pipeline.pipelinenode import PipelineNode

__all__ = ["stage_columns"]

_KEEPING = frozenset({"drop_nulls", "filter", "head", "sort", "tail", "top_k", "unique"})
"""Methods that leave the columns as they are."""


def stage_columns(node: PipelineNode, nodes: Mapping[str, PipelineNode], dialect: str) -> list[str] | None:
    """Names of the columns in order; None where only the data tell.

    Parameters
    ----------
    nodes : the pipeline's nodes by name, without circles
    """
    known: dict[str, list[str] | None] = {}
    for source in node.sources:
        columns = None if is_variable(source) else _source_columns(source, nodes, dialect)
        known.setdefault("df", columns)
        if not is_variable(source) and source.name:
            known[f"sources.{source.name}"] = columns
    found = known.get("df")
    if node.transformer is None:
        return found
    return None if is_variable(node.transformer) else _transformed(node.transformer, found, known, dialect)


def _transformed(
    transformer: DataFrameTransformer, found: list[str] | None, known: dict[str, list[str] | None], dialect: str
) -> list[str] | None:
    from laktory.expressions.projection import projected

    for step in transformer.nodes:
        if is_variable(step):
            return None
        if hasattr(step, "expr"):
            found = projected(step.expr, dialect, known | {"df": found})
        elif step.func_name not in _KEEPING or step.dataframe_api == "NATIVE":
            found = None
    return found


def _source_columns(source: Any, nodes: Mapping[str, PipelineNode], dialect: str) -> list[str] | None:
    found: list[str] | None = None
    if source._df is not None:
        return None
    if isinstance(source, PipelineNodeDataSource) and source.node_name in nodes:
        found = stage_columns(nodes[source.node_name], nodes, dialect)
    elif isinstance(source, FileDataSource) and source.schema_definition is not None:
        found = list(source.schema_definition.to_narwhals())
    elif isinstance(source, DataFrameDataSource) and isinstance(source.data, dict):
        found = list(source.data)
    if source.selects:
        found = _selected(source.selects, found)
    if found is None:
        return None
    renames, drops = source.renames or {}, source.drops or []
    return [name for name in (renames.get(name, name) for name in found) if name not in drops]


def _selected(selects: Any, found: list[str] | None) -> list[str] | None:
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
