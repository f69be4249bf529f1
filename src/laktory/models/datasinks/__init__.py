"""Where rows go."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Discriminator, Tag

from laktory.models.base import OrVariable
from laktory.models.datasinks.base import BaseDataSink
from laktory.models.datasinks.custom import CustomDataSink
from laktory.models.datasinks.file import FileDataSink
from laktory.models.datasinks.table import HiveMetastoreDataSink, TableDataSink, UnityCatalogDataSink
from laktory.models.kinds import kind_of, refuse_unknown_kind

__all__ = [
    "BaseDataSink",
    "CustomDataSink",
    "DataSinksUnion",
    "FileDataSink",
    "HiveMetastoreDataSink",
    "TableDataSink",
    "UnityCatalogDataSink",
]

_TYPES = {
    "FILE": "FileDataSink",
    "UNITY_CATALOG": "UnityCatalogDataSink",
    "HIVE_METASTORE": "HiveMetastoreDataSink",
    "CUSTOM": "CustomDataSink",
}
_KEYS = {
    "path": "FILE",
    "table_name": "UNITY_CATALOG",
    "pipeline_view_name": "PIPELINE_VIEW",
    "custom_writer": "CUSTOM",
}
_PLANNED = {
    "PIPELINE_VIEW": "views of declarative pipelines",
}

DataSinksUnion = Annotated[
    OrVariable[
        Annotated[
            Annotated[FileDataSink, Tag("FileDataSink")]
            | Annotated[UnityCatalogDataSink, Tag("UnityCatalogDataSink")]
            | Annotated[HiveMetastoreDataSink, Tag("HiveMetastoreDataSink")]
            | Annotated[CustomDataSink, Tag("CustomDataSink")],
            Discriminator(kind_of(_TYPES, _KEYS)),
            BeforeValidator(refuse_unknown_kind("sink", _TYPES, _KEYS, _PLANNED)),
        ]
    ],
    "any sink, or a variable",
]
