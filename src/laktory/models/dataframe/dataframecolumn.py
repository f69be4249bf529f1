"""A column of a schema."""

from __future__ import annotations

from pydantic import Field

from laktory.models.base import BaseModel
from laktory.models.dtype import DType

__all__ = ["DataFrameColumn"]


class DataFrameColumn(BaseModel):
    """Name and data type of a column."""

    name: str = Field(description="Name of the column.")
    dtype: DType = Field(description="Data type: a name, or a mapping with `name` and parameters.")
    nullable: bool = Field(default=True, description="Whether null may occur (documentation).")
    is_primary: bool = Field(
        default=False, description="Whether the column is part of the primary key (documentation)."
    )
