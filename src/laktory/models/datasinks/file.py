"""Files as a sink."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from laktory.models.datasinks.base import BaseDataSink
from laktory.models.datasources.file import FileDataSource, PathText
from laktory.models.pipelinechild import Upper

__all__ = ["FileDataSink"]


class FileDataSink(BaseDataSink):
    """A file, a directory of files (a path ending in ``/``) or a Delta table."""

    type: Annotated[Literal["FILE"], Upper] = Field(default="FILE", description="Kind of sink.")
    path: PathText = Field(description="File, or directory with a trailing '/'. Relative to the working directory.")
    format: Annotated[str, Upper] = Field(description="File format, e.g. PARQUET, CSV, JSONL, DELTA.")

    @property
    def description(self) -> str:
        """The path."""
        return self.path

    @property
    def partition_by(self) -> tuple[str, ...]:
        """Columns whose values become folders, from `writer_kwargs`."""
        columns = self.writer_kwargs.get("partition_by") or ()
        return (columns,) if isinstance(columns, str) else tuple(columns)

    def as_source(self, as_stream: bool | None = None) -> FileDataSource:
        """A source that reads what this sink holds; `as_stream` is that of the source."""
        source = FileDataSource(
            path=self.path,
            format=self.format,
            dataframe_backend_=self.dataframe_backend,
            as_stream=bool(as_stream),
        )
        source._parent = self._parent
        return source

    def read(self, as_stream: bool | None = None) -> Any:
        """What this sink holds, as a narwhals LazyFrame; `as_stream` as of a source."""
        return self.as_source(as_stream).read()

    def exists(self) -> bool:
        """Whether something has been written at the path."""
        from laktory.runtime.doors import sink_exists

        return sink_exists(self)

    def purge(self, mode: str | None = None) -> None:
        """Remove what this sink holds; `mode` as of every sink."""
        super().purge(mode)
        from laktory.runtime.doors import purge_sink

        purge_sink(self)
