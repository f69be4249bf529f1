"""A SQL step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from laktory.models.base import is_variable
from laktory.models.datasources.pipelinenode import PipelineNodeDataSource
from laktory.models.pipelinechild import PipelineChild, Upper
from laktory.models.problems import problem_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from laktory.diagnostics import Path
    from laktory.models.datasources.base import BaseDataSource

__all__ = ["DataFrameExpr", "node_sources"]


class DataFrameExpr(PipelineChild):
    """One SQL query over the flowing frame, ``{df}``, and other frames of the pipeline.

    Placeholders: ``{df}``, ``{nodes.NAME}``, ``{sources.NAME}``, and ``{NAME}`` for each named frame. Other
    braces, and everything inside quotes and comments, are left alone.
    """

    expr: str = Field(
        description="One query: SELECT, WITH, FROM or VALUES. It reads frames, e.g. `{df}`, and no files."
    )
    type: Annotated[Literal["SQL"], Upper] = Field(default="SQL", description="Language of the expression.")

    @field_validator("expr")
    @classmethod
    def _not_empty(cls, value: str) -> str:
        if not value.strip() and not is_variable(value):
            raise problem_error("the SQL text is empty", hint="write one query, e.g. SELECT * FROM {df}")
        return value

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
