"""A chain of steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag

from laktory.diagnostics import closest
from laktory.models.base import OrVariable, is_variable
from laktory.models.dataframe.dataframeexpr import DataFrameExpr
from laktory.models.dataframe.dataframemethod import DataFrameMethod
from laktory.models.pipelinechild import PipelineChild
from laktory.models.problems import describe, problem_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from laktory.models.datasources.base import BaseDataSource

__all__ = ["DataFrameTransformer"]

_KEYS = {"expr": "DataFrameExpr", "func_name": "DataFrameMethod"}


def _class_name(value: Any) -> str:
    if not isinstance(value, dict):
        return type(value).__name__
    return next(name for key, name in _KEYS.items() if key in value)


def _one_kind(value: Any) -> Any:
    """Runs before the class is picked, so that there always is one."""
    if is_variable(value) or type(value).__name__ in _KEYS.values():
        return value
    if isinstance(value, str):
        raise problem_error("a step is a mapping, found a text", hint="write 'expr: …' for SQL, or 'func_name: …'")
    if not isinstance(value, dict):
        raise problem_error(f"a step is a mapping with 'expr' or 'func_name', found {describe(value)}")
    given = [key for key in _KEYS if key in value]
    if len(given) == 2:
        raise problem_error(
            "a step has either 'expr' (SQL) or 'func_name' (a method), not both", hint="write two steps"
        )
    if not given:
        guess = next((found for key in value if (found := closest(key, _KEYS))), None)
        raise problem_error("a step needs 'expr' (SQL) or 'func_name' (a method)", valid=list(_KEYS), hint=guess)
    return value


Step = OrVariable[
    Annotated[
        Annotated[DataFrameExpr, Tag("DataFrameExpr")] | Annotated[DataFrameMethod, Tag("DataFrameMethod")],
        Discriminator(_class_name),
        BeforeValidator(_one_kind),
    ]
]


class DataFrameTransformer(PipelineChild):
    """Steps applied one after another; what one gives is ``{df}`` for the next."""

    nodes: list[Step] = Field(description="Steps: SQL (`expr`) or methods (`func_name`).")

    @property
    def upstream_node_names(self) -> list[str]:
        """Nodes that the steps read, each once."""
        return list(dict.fromkeys(name for step in self._steps for name in step.upstream_node_names))

    @property
    def data_sources(self) -> list[BaseDataSource]:
        """Sources that the steps read."""
        return [source for step in self._steps for source in step.data_sources]

    @property
    def written_sources(self) -> list[BaseDataSource]:
        """Sources written in arguments of methods."""
        return [source for step in self._steps if isinstance(step, DataFrameMethod) for source in step.written_sources]

    @property
    def _steps(self) -> list[DataFrameExpr | DataFrameMethod]:
        return [step for step in self.nodes if isinstance(step, (DataFrameExpr, DataFrameMethod))]

    def execute(self, df: Any = None, named_dfs: Mapping[str, Any] | None = None) -> Any:
        """Apply the steps.

        Parameters
        ----------
        df : narwhals or native frame; None when the first step is SQL over named frames
        named_dfs : more frames by name, for ``{name}``

        Returns
        -------
        narwhals.LazyFrame

        Raises
        ------
        StepError
            If a step is refused or fails.
        """
        from laktory.models.dataframe.execution import execute_steps

        return execute_steps(self, self.nodes, df, named_dfs)
