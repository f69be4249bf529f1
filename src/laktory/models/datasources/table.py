"""Tables of a catalog as a source."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from laktory.models.datasources.base import BaseDataSource
from laktory.models.pipelinechild import Upper
from laktory.models.readerwritermethod import ReaderWriterMethod
from laktory.models.tablename import TableNamed

__all__ = ["HiveMetastoreDataSource", "TableDataSource", "UnityCatalogDataSource"]


class TableDataSource(TableNamed, BaseDataSource):
    """A table or view that the engine knows by name. Needs the backend PYSPARK."""

    secretive: ClassVar = frozenset({"variables", "reader_kwargs"})
    renamed: ClassVar = {"reader_options": "reader_kwargs"}

    reader_kwargs: dict[str, Any] = Field(default={}, description="Options of the engine's reader.")
    reader_methods: list[ReaderWriterMethod] = Field(default=[], description="Methods called on the reader.")


class UnityCatalogDataSource(TableDataSource):
    """A table of Unity Catalog, or of whatever catalogs the Spark session has."""

    type: Annotated[Literal["UNITY_CATALOG"], Upper] = Field(default="UNITY_CATALOG", description="Kind of source.")


class HiveMetastoreDataSource(TableDataSource):
    """A table of the Hive metastore of the Spark session."""

    type: Annotated[Literal["HIVE_METASTORE"], Upper] = Field(default="HIVE_METASTORE", description="Kind of source.")
