"""What all sources share: the options applied after reading."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, PrivateAttr, StrictBool, field_validator

from laktory.models.pipelinechild import PipelineChild
from laktory.models.problems import problem_error

__all__ = ["BaseDataSource"]


class BaseDataSource(PipelineChild):
    """A place rows come from.

    After reading, and in this order: `filter`, `selects`, `renames`, `drops`, `drop_duplicates`.
    """

    planned: ClassVar = {
        "watermark": "streaming watermarks",
        "sample": "sampling a source",
        "broadcast": "broadcast hints",
        "limit": "limiting a source",
    }

    as_stream: bool = Field(default=False, description="Read only what is new since the last run.")
    filter: str | None = Field(default=None, description="SQL predicate; rows for which it is true are kept.")
    selects: list[str] | dict[str, str] | None = Field(
        default=None, description="SQL expressions to keep: a list, or a mapping from expression to output name."
    )
    renames: dict[str, str] | None = Field(default=None, description="Old column name → new name.")
    drops: list[str] | None = Field(default=None, description="Columns to remove; missing ones are ignored.")
    drop_duplicates: StrictBool | list[str] | None = Field(
        default=None, description="true: drop rows equal in all columns; a list: equal in these columns."
    )
    name: str | None = Field(default=None, description="Name of the source, for `{sources.name}`.")

    _df: Any = PrivateAttr(default=None)

    @field_validator("filter", "selects", "drop_duplicates")
    @classmethod
    def _says_something(cls, value: Any) -> Any:
        empty = isinstance(value, (str, list, dict)) and not (value.strip() if isinstance(value, str) else value)
        if empty:
            raise problem_error("this is empty", hint="remove it, or write null")
        return value

    @field_validator("selects", "drops", mode="before")
    @classmethod
    def _one_as_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) and not value.startswith("${") else value

    @property
    def description(self) -> str:
        """What a log line or a plan calls this source."""
        return type(self).__name__

    def read(self) -> Any:
        """Read as a narwhals LazyFrame, options applied. Nothing is computed yet.

        Raises
        ------
        SourceError
            If the source is missing or unreadable.
        """
        from laktory.runtime.doors import read_source

        return read_source(self)
