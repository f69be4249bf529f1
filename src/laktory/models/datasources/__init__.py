"""Where rows come from."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Discriminator, Tag

import laktory.models.dataframe  # noqa: F401 - first: steps name sources, and sources have schemas
from laktory.models.base import OrVariable
from laktory.models.datasources.base import BaseDataSource
from laktory.models.datasources.custom import CustomDataSource
from laktory.models.datasources.dataframe import DataFrameDataSource
from laktory.models.datasources.file import FileDataSource
from laktory.models.datasources.pipelinenode import PipelineNodeDataSource
from laktory.models.datasources.table import HiveMetastoreDataSource, TableDataSource, UnityCatalogDataSource
from laktory.models.kinds import kind_of, refuse_unknown_kind

__all__ = [
    "BaseDataSource",
    "CustomDataSource",
    "DataFrameDataSource",
    "DataSourcesUnion",
    "FileDataSource",
    "HiveMetastoreDataSource",
    "PipelineNodeDataSource",
    "TableDataSource",
    "UnityCatalogDataSource",
]

_TYPES = {
    "FILE": "FileDataSource",
    "UNITY_CATALOG": "UnityCatalogDataSource",
    "HIVE_METASTORE": "HiveMetastoreDataSource",
    "PIPELINE_NODE": "PipelineNodeDataSource",
    "DATAFRAME": "DataFrameDataSource",
    "CUSTOM": "CustomDataSource",
}
_KEYS = {
    "path": "FILE",
    "table_name": "UNITY_CATALOG",
    "node_name": "PIPELINE_NODE",
    "data": "DATAFRAME",
    "df": "DATAFRAME",
    "custom_reader": "CUSTOM",
}

DataSourcesUnion = Annotated[
    OrVariable[
        Annotated[
            Annotated[FileDataSource, Tag("FileDataSource")]
            | Annotated[UnityCatalogDataSource, Tag("UnityCatalogDataSource")]
            | Annotated[HiveMetastoreDataSource, Tag("HiveMetastoreDataSource")]
            | Annotated[PipelineNodeDataSource, Tag("PipelineNodeDataSource")]
            | Annotated[DataFrameDataSource, Tag("DataFrameDataSource")]
            | Annotated[CustomDataSource, Tag("CustomDataSource")],
            Discriminator(kind_of(_TYPES, _KEYS)),
            BeforeValidator(refuse_unknown_kind("source", _TYPES, _KEYS, {})),
        ]
    ],
    "any source, or a variable",
]
