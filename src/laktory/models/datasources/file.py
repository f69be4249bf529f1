"""Files as a source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from laktory.diagnostics.secrets import register_credentials
from laktory.models.base import is_variable
from laktory.models.dataframe.dataframeschema import DataFrameSchema
from laktory.models.datasources.base import BaseDataSource
from laktory.models.pipelinechild import Upper
from laktory.models.problems import problem_error
from laktory.models.readerwritermethod import ReaderWriterMethod

__all__ = ["FileDataSource", "PathText", "Place"]


def _path_text(value: Any) -> Any:
    value = value.as_posix() if isinstance(value, Path) else value
    if isinstance(value, str) and (not value.strip() or "\0" in value):
        raise problem_error(f"{value!r} is not a path")
    if isinstance(value, str):
        register_credentials(value)
    return value


def _place(value: Any) -> Any:
    _path_text(value)
    return value


Place = Annotated[str | Path, BeforeValidator(_place)]
"""A path that may be given as `pathlib.Path`, and stays one."""
PathText = Annotated[str, BeforeValidator(_path_text)]
"""A path as text; `pathlib.Path` is accepted."""


class FileDataSource(BaseDataSource):
    """A file, a directory of files, a glob or a URL."""

    secretive: ClassVar = frozenset({"variables", "reader_kwargs"})
    planned: ClassVar = {**BaseDataSource.planned, "schema_location": "streaming schema inference"}
    renamed: ClassVar = {"reader_options": "reader_kwargs"}

    type: Annotated[Literal["FILE"], Upper] = Field(default="FILE", description="Kind of source.")
    path: PathText = Field(description="File, directory, glob or URL. Relative to the working directory.")
    format: Annotated[str, Upper] = Field(description="File format, e.g. PARQUET, CSV, JSONL, DELTA.")
    has_header: bool = Field(default=True, description="The first line holds column names (CSV, EXCEL).")
    infer_schema: bool = Field(default=False, description="Guess column types of CSV; otherwise all are text.")
    schema_definition: DataFrameSchema | None = Field(
        default=None, alias="schema", description="Expected columns and their types."
    )
    reader_kwargs: dict[str, Any] = Field(default={}, description="Keyword arguments of the engine's reader.")
    reader_methods: list[ReaderWriterMethod] = Field(default=[], description="Methods called on the reader.")

    @model_validator(mode="after")
    def _options_fit_the_format(self) -> FileDataSource:
        if is_variable(self.format):
            return self
        for name, formats in (("has_header", ("CSV", "EXCEL")), ("infer_schema", ("CSV",))):
            given = name in self.model_fields_set and getattr(self, name) != type(self).model_fields[name].default
            if given and self.format not in formats:
                message = f"{name!r} has no meaning for the format {self.format!r}, only for {' and '.join(formats)}"
                raise problem_error(message, hint=f"remove {name!r}", key=name)
        return self

    @property
    def description(self) -> str:
        """The path."""
        return self.path
