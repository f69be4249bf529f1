"""Functions of ``narwhals.laktory``."""

from laktory.transforms.exprs import LaktoryFunctions

__all__ = ["current_timestamp", "sql_expr"]

current_timestamp = LaktoryFunctions().current_timestamp
sql_expr = LaktoryFunctions().sql_expr
