"""Names and types of the columns of a dataframe."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator, model_validator

from laktory.models.base import BaseModel, is_variable
from laktory.models.dataframe.dataframecolumn import DataFrameColumn
from laktory.models.dtype import DType
from laktory.models.problems import problem_error

if TYPE_CHECKING:
    import narwhals as nw
    import polars as pl

__all__ = ["DataFrameSchema"]


class DataFrameSchema(BaseModel):
    """Columns of a dataframe, in order."""

    columns: dict[str, DataFrameColumn] = Field(
        description="A mapping from name to type, e.g. `{id: Int64}`, or a list of columns with `name` and `dtype`."
    )

    @model_validator(mode="before")
    @classmethod
    def _columns_key(cls, data: Any) -> Any:
        looks_bare = isinstance(data, dict) and data and not {"columns", "variables"} & data.keys()
        if looks_bare or isinstance(data, list):
            raise problem_error(
                "the columns of a schema are written under 'columns'", hint="write 'columns: {name: type}'"
            )
        return data

    @field_validator("columns", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: _column(name, item) for name, item in value.items()}
        if not isinstance(value, list):
            return value
        columns: dict[str, Any] = {}
        for position, item in enumerate(value):
            name = item.get("name") if isinstance(item, dict) else getattr(item, "name", None)
            if not isinstance(name, str):
                raise problem_error(
                    f"item {position} of the columns has no name", hint="write {name: id, dtype: Int64}"
                )
            if name in columns:
                raise problem_error(f"column {name!r} is there twice")
            columns[name] = item
        return columns

    # ---- conversions -------------------------------------------------------------------------

    def to_narwhals(self) -> nw.Schema:
        """As a Narwhals schema."""
        import narwhals

        return narwhals.Schema({name: column.dtype.to_narwhals() for name, column in self.columns.items()})

    def to_polars(self) -> pl.Schema:
        """As a Polars schema."""
        import polars as pl

        return pl.Schema({name: column.dtype.to_polars() for name, column in self.columns.items()})

    def to_native(self, backend: Any = "POLARS") -> Any:
        """In the words of an engine.

        Returns
        -------
        polars.Schema for POLARS; a dict from column name to type name for DUCKDB

        Raises
        ------
        UnsupportedError
            For another backend.
        """
        from laktory.runtime.doors import engine_words

        return engine_words(backend).native_schema(self.to_narwhals())

    def to_string(self, indent: int | None = None) -> str:
        """As JSON, a mapping from name to type, that `columns` accepts."""
        plain = {name: column.dtype.to_plain_type() for name, column in self.columns.items()}
        return json.dumps(plain, indent=indent, ensure_ascii=False)

    @classmethod
    def from_narwhals(cls, schema: nw.Schema) -> DataFrameSchema:
        """From a Narwhals schema."""
        return cls(columns={name: DType.from_narwhals(dtype) for name, dtype in schema.items()})

    @classmethod
    def from_df(cls, df: Any) -> DataFrameSchema:
        """From a Narwhals or native frame."""
        import narwhals

        return cls.from_narwhals(narwhals.from_native(df).collect_schema())


def _column(name: Any, item: Any) -> Any:
    if not isinstance(name, str):
        raise problem_error(f"column name {name!r} is not a text", hint=f"write '{name}' in quotes")
    if isinstance(item, DataFrameColumn) or is_variable(item):
        found = name if is_variable(item) else item.name
    elif isinstance(item, dict) and "dtype" in item:
        found = item.get("name", name)
        item = {"name": name, **item}
    else:
        return {"name": name, "dtype": item}
    if found != name:
        raise problem_error(f"column {name!r} is named {found!r} inside", hint=f"remove 'name' or write {name!r}")
    return {"name": name, "dtype": item} if is_variable(item) else item
