"""The declarative public API."""

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
from laktory.models.dtypes import DField, DType
from laktory.models.pipeline import Pipeline, PipelineNode
from laktory.models.pipelinechild import PipelineChild
from laktory.models.readerwritermethod import ReaderWriterMethod

__all__ = [
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
    "Pipeline",
    "PipelineChild",
    "PipelineNode",
    "PipelineNodeDataSource",
    "ReaderWriterMethod",
]
