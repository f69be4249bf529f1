"""The declarative public API. Each name is imported when it is first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from laktory.models.dataquality import DataQualityCheck, DataQualityExpectation, ExpectationTolerance
    from laktory.models.datasinks import (
        BaseDataSink,
        CustomDataSink,
        DataSinksUnion,
        FileDataSink,
        HiveMetastoreDataSink,
        TableDataSink,
        UnityCatalogDataSink,
    )
    from laktory.models.datasources import (
        BaseDataSource,
        CustomDataSource,
        DataFrameDataSource,
        DataSourcesUnion,
        FileDataSource,
        HiveMetastoreDataSource,
        PipelineNodeDataSource,
        TableDataSource,
        UnityCatalogDataSource,
    )
    from laktory.models.dtype import DField, DType
    from laktory.models.pipeline import Pipeline, PipelineExecutionPlan, PipelineNode
    from laktory.models.pipelinechild import PipelineChild
    from laktory.models.readerwritermethod import ReaderWriterMethod

    BaseChild = BaseModel
    MemoryDataSource = DataFrameDataSource

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
    "DataQualityCheck",
    "DataQualityExpectation",
    "DataSinksUnion",
    "DataSourcesUnion",
    "ExpectationTolerance",
    "FileDataSink",
    "FileDataSource",
    "HiveMetastoreDataSink",
    "HiveMetastoreDataSource",
    "LaktoryContext",
    "MemoryDataSource",
    "Pipeline",
    "PipelineChild",
    "PipelineExecutionPlan",
    "PipelineNode",
    "PipelineNodeDataSource",
    "ReaderWriterMethod",
    "TableDataSink",
    "TableDataSource",
    "UnityCatalogDataSink",
    "UnityCatalogDataSource",
]

_HOMES = {
    "BaseChild": "base",
    "BaseDataSink": "datasinks",
    "BaseDataSource": "datasources",
    "BaseModel": "base",
    "CustomDataSink": "datasinks",
    "CustomDataSource": "datasources",
    "CustomReader": "custom",
    "CustomWriter": "custom",
    "DField": "dtype",
    "DType": "dtype",
    "DataFrameColumn": "dataframe",
    "DataFrameColumnExpr": "dataframe",
    "DataFrameDataSource": "datasources",
    "DataFrameExpr": "dataframe",
    "DataFrameMethod": "dataframe",
    "DataFrameSchema": "dataframe",
    "DataFrameTransformer": "dataframe",
    "DataQualityCheck": "dataquality",
    "DataQualityExpectation": "dataquality",
    "DataSinksUnion": "datasinks",
    "DataSourcesUnion": "datasources",
    "ExpectationTolerance": "dataquality",
    "FileDataSink": "datasinks",
    "FileDataSource": "datasources",
    "HiveMetastoreDataSink": "datasinks",
    "HiveMetastoreDataSource": "datasources",
    "LaktoryContext": "custom",
    "MemoryDataSource": "datasources",
    "Pipeline": "pipeline",
    "PipelineChild": "pipelinechild",
    "PipelineExecutionPlan": "pipeline",
    "PipelineNode": "pipeline",
    "PipelineNodeDataSource": "datasources",
    "ReaderWriterMethod": "readerwritermethod",
    "TableDataSink": "datasinks",
    "TableDataSource": "datasources",
    "UnityCatalogDataSink": "datasinks",
    "UnityCatalogDataSource": "datasources",
}
_OLDER = {"BaseChild": "BaseModel", "MemoryDataSource": "DataFrameDataSource"}

_PLANNED = {
    **dict.fromkeys(("PipelineViewDataSink", "TableDataSinkMetadata"), "metadata of tables, and views of pipelines"),
    **dict.fromkeys(("DataSinkMergeCDCOptions", "DataSinkSharedOptions"), "merging changes into a table"),
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
    if name in _HOMES:
        found = getattr(import_module(f"laktory.models.{_HOMES[name]}"), _OLDER.get(name, name))
        globals()[name] = found
        return found
    if name in {"dtypes", *_HOMES.values()}:
        return import_module(f"laktory.models.{name}")
    # one class per data type, made when one is asked for
    if name in import_module("laktory.models.dtype").NAMES:
        return getattr(import_module("laktory.models.dtypes"), name)
    msg = f"module 'laktory.models' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
