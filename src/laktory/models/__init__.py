"""The declarative public API."""

from typing import Any

from laktory.models.base import BaseModel
from laktory.models.custom import CustomReader, CustomWriter, LaktoryContext
from laktory.models.dataframe import (
    DataFrameColumn,
    DataFrameColumnExpr,
    DataFrameExpr,
    DataFrameMethod,
    DataFrameSchema,
    DataFrameTransformer,
)
from laktory.models.datasinks import BaseDataSink, CustomDataSink, DataSinksUnion, FileDataSink
from laktory.models.datasources import (
    BaseDataSource,
    CustomDataSource,
    DataFrameDataSource,
    DataSourcesUnion,
    FileDataSource,
    PipelineNodeDataSource,
)
from laktory.models.dtype import NAMES, DField, DType
from laktory.models.pipeline import Pipeline, PipelineExecutionPlan, PipelineNode
from laktory.models.pipelinechild import PipelineChild
from laktory.models.readerwritermethod import ReaderWriterMethod

__all__ = [
    "BaseChild",
    "BaseDataSink",
    "BaseDataSource",
    "BaseModel",
    "CustomDataSink",
    "CustomDataSource",
    "CustomReader",
    "CustomWriter",
    "DField",
    "DType",
    "DataFrameColumn",
    "DataFrameColumnExpr",
    "DataFrameDataSource",
    "DataFrameExpr",
    "DataFrameMethod",
    "DataFrameSchema",
    "DataFrameTransformer",
    "DataSinksUnion",
    "DataSourcesUnion",
    "FileDataSink",
    "FileDataSource",
    "LaktoryContext",
    "MemoryDataSource",
    "Pipeline",
    "PipelineChild",
    "PipelineExecutionPlan",
    "PipelineNode",
    "PipelineNodeDataSource",
    "ReaderWriterMethod",
]


BaseChild = BaseModel
MemoryDataSource = DataFrameDataSource
"""Older names."""


_PLANNED = {
    **dict.fromkeys(("UnityCatalogDataSource", "HiveMetastoreDataSource", "TableDataSource"), "tables in catalogs"),
    **dict.fromkeys(("UnityCatalogDataSink", "HiveMetastoreDataSink", "TableDataSink"), "tables in catalogs"),
    **dict.fromkeys(("PipelineViewDataSink", "TableDataSinkMetadata"), "tables in catalogs"),
    **dict.fromkeys(("DataSinkMergeCDCOptions", "DataSinkSharedOptions"), "merging changes into a table"),
    **dict.fromkeys(("DataQualityExpectation", "DataQualityCheck"), "data quality expectations"),
    **dict.fromkeys(("DatabricksJobOrchestrator", "DatabricksPipelineOrchestrator"), "orchestrators"),
    **dict.fromkeys(("LakeflowJobOrchestrator", "LakeflowDeclarativePipelineOrchestrator"), "orchestrators"),
    **dict.fromkeys(("AirflowOrchestrator", "SparkDeclarativePipelineOrchestrator", "PipelineTask"), "orchestrators"),
    **dict.fromkeys(("Stack", "StackResources", "TerraformStack", "TerraformResource", "BaseResource"), "stacks"),
    **dict.fromkeys(("AWSProvider", "AzureProvider", "DatabricksProvider", "resources", "grants"), "stacks"),
    "PipelineParameter": "run-time parameters",
}
"""Names of other releases → what they belong to."""


def __getattr__(name: str) -> Any:
    if name in _PLANNED:
        from laktory.errors import UnsupportedNameError

        msg = f"'laktory.models.{name}' is not supported by this version of Laktory: {_PLANNED[name]}"
        raise UnsupportedNameError(msg)
    # one class per data type, made when one is asked for
    if name in NAMES:
        from laktory.models import dtypes

        return getattr(dtypes, name)
    msg = f"module 'laktory.models' has no attribute {name!r}"
    raise AttributeError(msg)
