"""Rows in memory as a source."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from laktory.models.datasources.base import BaseDataSource
from laktory.models.pipelinechild import Upper
from laktory.models.problems import problem_error

__all__ = ["DataFrameDataSource"]


class DataFrameDataSource(BaseDataSource):
    """Columns, rows, or a frame that Python holds already."""

    type: Annotated[Literal["DATAFRAME"], Upper] = Field(default="DATAFRAME", description="Kind of source.")
    data: dict[str, list[Any]] | list[dict[str, Any]] | None = Field(
        default=None, description="Columns as a mapping from name to values, or rows as a list of mappings."
    )
    df: Any = Field(default=None, exclude=True, description="A narwhals or native frame (Python only).")

    @model_validator(mode="after")
    def _exactly_one(self) -> DataFrameDataSource:
        if self.data is None and self.df is None:
            raise problem_error("either 'data' or 'df' must be provided")
        if self.data is not None and self.df is not None:
            raise problem_error("only one of 'data' and 'df' can be provided", key="df")
        if isinstance(self.data, dict) and len(sizes := {len(values) for values in self.data.values()}) > 1:
            raise problem_error(f"columns differ in length: {sorted(sizes)}", key="data")
        return self

    @property
    def description(self) -> str:
        """Where the rows are."""
        return "data in memory"
