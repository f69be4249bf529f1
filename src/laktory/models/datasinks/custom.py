"""A function of the user's own as a sink."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from laktory.models.custom import CustomWriter
from laktory.models.datasinks.base import BaseDataSink
from laktory.models.pipelinechild import Upper

__all__ = ["CustomDataSink"]


class CustomDataSink(BaseDataSink):
    """Rows handed to a function that has no place in the file system, e.g. one that posts them to a service."""

    type: Annotated[Literal["CUSTOM"], Upper] = Field(default="CUSTOM", description="Kind of sink.")
    custom_writer: CustomWriter = Field(description="The function, as a dotted path or with arguments.")

    @property
    def description(self) -> str:
        """The function's dotted path."""
        return self.custom_writer.func_name
