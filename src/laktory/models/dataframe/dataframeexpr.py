"""A SQL step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from laktory.models.base import is_variable
from laktory.models.datasources.pipelinenode import PipelineNodeDataSource
from laktory.models.pipelinechild import PipelineChild, Upper
from laktory.models.problems import problem_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from laktory.diagnostics import Path, Problem
    from laktory.models.datasources.base import BaseDataSource

__all__ = ["DataFrameExpr", "node_sources"]


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) and not is_variable(value) else value


class DataFrameExpr(PipelineChild):
    """One SQL query over the flowing frame, ``{df}``, and other frames of the pipeline.

    Placeholders: ``{df}``, ``{nodes.NAME}``, ``{sources.NAME}``, and ``{NAME}`` for each named frame. Other
    braces, and everything inside quotes and comments, are left alone.
    """

    expr: str = Field(
        description="One query: SELECT, WITH, FROM or VALUES. It reads frames, e.g. `{df}`, and no files."
    )
    type: Annotated[Literal["SQL"], Upper] = Field(default="SQL", description="Language of the expression.")

    dialect: Annotated[str | None, BeforeValidator(_lower)] = Field(
        default=None,
        description="SQL dialect of the text, e.g. `spark`; it is translated for the engine. "
        "Default: that of the pipeline, else the engine's own words.",
    )

    @field_validator("expr")
    @classmethod
    def _not_empty(cls, value: str) -> str:
        if not value.strip() and not is_variable(value):
            raise problem_error("the SQL text is empty", hint="write one query, e.g. SELECT * FROM {df}")
        return value

    def statement(self, dialect: str) -> str | Problem:
        """The text in the words of an engine, placeholders included, or why it cannot be translated.

        Parameters
        ----------
        dialect : that of the engine
        """
        pipeline = self.parent_pipeline
        own = self.dialect or (pipeline.dialect if pipeline is not None else None)
        if own is None or own == dialect:
            return self.expr
        from laktory.expressions.translation import dialect_problem, translated

        return dialect_problem(own) or translated(self.expr, own, dialect)

    @property
    def upstream_node_names(self) -> list[str]:
        """Nodes that the text names, each once."""
        if "{nodes." not in self.expr:
            return []
        return list(dict.fromkeys(key.removeprefix("nodes.") for key in self.references if key.startswith("nodes.")))

    @property
    def references(self) -> list[str]:
        """Keys of the frames that the text names, as often as it does: ``df``, ``nodes.NAME``."""
        from laktory.expressions.placeholders import placeholders

        return [item.key for item in placeholders(self.expr)]

    def place_of(self, name: str) -> tuple[Path, tuple[int | None, int | None]]:
        """Where the text names a node: path, line and column."""
        from laktory.expressions.placeholders import placeholders

        start = next(item.start for item in placeholders(self.expr) if item.key == f"nodes.{name}")
        line, column = self.expr.count("\n", 0, start) + 1, start - self.expr.rfind("\n", 0, start)
        return ("expr",), (line, column)

    @property
    def data_sources(self) -> list[BaseDataSource]:
        """Nodes that the text names, as sources."""
        return node_sources(self, self.upstream_node_names)

    def to_sql(self, references: Mapping[str, str] | None = None) -> str:
        """The query with placeholders replaced by table names.

        Parameters
        ----------
        references : placeholder without braces (``df``, ``nodes.brz``) → table name; the others are left as they are
        """
        from laktory.expressions.placeholders import substitute

        return substitute(self.expr, references or {})

    def to_df(self, dfs: Mapping[str, Any]) -> Any:
        """Run the query over frames by placeholder: ``{"df": …, "nodes.brz": …}``.

        Returns
        -------
        narwhals.LazyFrame

        Raises
        ------
        StepError
            If the query is refused or fails.
        """
        from laktory.models.dataframe.execution import execute_steps

        return execute_steps(self, [self], dfs.get("df"), dfs)


def node_sources(child: PipelineChild, names: list[str]) -> list[BaseDataSource]:
    """Sources for nodes that a step refers to by name."""
    sources: list[BaseDataSource] = []
    for name in names:
        source = PipelineNodeDataSource(node_name=name)
        source.parent = child
        sources.append(source)
    return sources
