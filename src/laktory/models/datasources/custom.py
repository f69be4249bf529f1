"""A function of the user's own as a source."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from laktory.models.custom import CustomReader
from laktory.models.datasources.base import BaseDataSource
from laktory.models.pipelinechild import Upper

__all__ = ["CustomDataSource"]


class CustomDataSource(BaseDataSource):
    """Rows returned by a function from a module that the pipeline lists in `imports`."""

    type: Annotated[Literal["CUSTOM"], Upper] = Field(default="CUSTOM", description="Kind of source.")
    custom_reader: CustomReader = Field(description="The function, as a dotted path or with arguments.")

    @property
    def description(self) -> str:
        """The function's dotted path."""
        return self.custom_reader.func_name
