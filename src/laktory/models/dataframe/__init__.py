"""Steps, column expressions and schemas."""

from laktory.models.dataframe.dataframecolumn import DataFrameColumn
from laktory.models.dataframe.dataframecolumnexpr import DataFrameColumnExpr
from laktory.models.dataframe.dataframeexpr import DataFrameExpr
from laktory.models.dataframe.dataframemethod import DataFrameMethod
from laktory.models.dataframe.dataframeschema import DataFrameSchema
from laktory.models.dataframe.dataframetransformer import DataFrameTransformer

__all__ = [
    "DataFrameColumn",
    "DataFrameColumnExpr",
    "DataFrameExpr",
    "DataFrameMethod",
    "DataFrameSchema",
    "DataFrameTransformer",
]
