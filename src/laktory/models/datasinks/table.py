"""Tables and views of a catalog as a sink."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from laktory.errors import DefinitionError
from laktory.models.base import is_variable
from laktory.models.dataframe.dataframeexpr import DataFrameExpr
from laktory.models.datasinks.base import BaseDataSink
from laktory.models.datasources.table import HiveMetastoreDataSource, TableDataSource, UnityCatalogDataSource
from laktory.models.pipelinechild import Upper
from laktory.models.problems import problem_error
from laktory.models.tablename import TableNamed

__all__ = ["HiveMetastoreDataSink", "TableDataSink", "UnityCatalogDataSink"]


def _text_alone(value: Any) -> Any:
    return {"expr": value} if isinstance(value, str) and not is_variable(value) else value


class TableDataSink(TableNamed, BaseDataSink):
    """A table, or a view, that the engine knows by name. Needs the backend PYSPARK."""

    source_class: ClassVar[Any] = UnityCatalogDataSource

    table_type: Annotated[Literal["TABLE", "VIEW"], Upper] = Field(
        default="TABLE", description="TABLE holds rows; VIEW holds the SQL of the node, and nothing is computed."
    )
    format: Annotated[Literal["PARQUET", "DELTA", "ORC", "AVRO", "ICEBERG"], Upper] = Field(
        default="DELTA", description="Format of the table's files."
    )
    view_definition: Annotated[DataFrameExpr | None, BeforeValidator(_text_alone)] = Field(
        default=None, description="SQL of a view. Default: the only step of the node's transformer."
    )

    @model_validator(mode="after")
    def _fits_a_view(self) -> Self:
        if self.view_definition is not None:
            self.__dict__["table_type"] = "VIEW"
            self.__pydantic_fields_set__.add("table_type")
        if self.table_type != "VIEW":
            return self
        if self.mode not in (None, "OVERWRITE") and not is_variable(self.mode):
            raise problem_error(f"a view is always replaced: it has no mode {self.mode!r}", key="mode")
        for field in ("is_quarantine", "custom_writer", "writer_kwargs", "writer_methods"):
            if getattr(self, field):
                raise problem_error(f"{field!r} has no meaning for a view", hint=f"remove {field!r}", key=field)
        return self

    @property
    def is_view(self) -> bool:
        """Whether a view is made instead of a table."""
        return self.table_type == "VIEW"

    def as_source(
        self,
        as_stream: bool | None = None,
        reader_kwargs: dict[str, Any] | None = None,
        reader_methods: list[Any] | None = None,
    ) -> TableDataSource:
        """A source that reads what this sink holds.

        Parameters
        ----------
        as_stream, reader_kwargs, reader_methods : of the source
        """
        source: TableDataSource = self.source_class(
            catalog_name=self.catalog_name,
            schema_name=self.schema_name,
            table_name=self.table_name,
            dataframe_backend_=self.dataframe_backend,
            as_stream=bool(as_stream),
            reader_kwargs=reader_kwargs or {},
            reader_methods=reader_methods or [],
        )
        source._parent = self._parent
        return source

    def read(self, as_stream: bool | None = None) -> Any:
        """What this sink holds, as a narwhals LazyFrame; `as_stream` as of a source."""
        return self.as_source(as_stream).read()

    def exists(self) -> bool:
        """Whether there is a table or view of the name."""
        from laktory.runtime.doors import table_exists

        return table_exists(self)

    def purge(self, mode: str | None = None) -> None:
        """Drop the table or view, and remove the files that `writer_kwargs: {path: …}` names; `mode` as of every sink.

        Raises
        ------
        SinkError
            If it cannot be dropped.
        """
        super().purge(mode)
        from laktory.runtime.doors import drop_table

        drop_table(self)

    def write(
        self,
        df: Any = None,
        mode: str | None = None,
        full_refresh: bool | str | None = None,
        *,
        view_definition: Any = None,
    ) -> None:
        """Write a frame to the table, or make the view.

        Parameters
        ----------
        df, mode, full_refresh : as of every sink; without meaning for a view
        view_definition : SQL of the view, instead of the sink's own or the node's

        Raises
        ------
        SinkError
            If it cannot be written or made.
        """
        if view_definition is None and not self.is_view:
            super().write(df, mode, full_refresh)
            return
        if df is not None or mode is not None:
            msg = "a view holds no rows: give neither a frame nor a mode"
            raise DefinitionError(msg)
        from laktory.runtime.doors import make_view

        make_view(self, _text_alone(view_definition))


class UnityCatalogDataSink(TableDataSink):
    """A table of Unity Catalog, or of whatever catalogs the Spark session has."""

    type: Annotated[Literal["UNITY_CATALOG"], Upper] = Field(default="UNITY_CATALOG", description="Kind of sink.")


class HiveMetastoreDataSink(TableDataSink):
    """A table of the Hive metastore of the Spark session."""

    source_class: ClassVar[Any] = HiveMetastoreDataSource

    type: Annotated[Literal["HIVE_METASTORE"], Upper] = Field(default="HIVE_METASTORE", description="Kind of sink.")
