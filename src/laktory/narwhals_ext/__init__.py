"""The ``laktory`` namespace of Narwhals frames, expressions and module. Importing this registers it."""

from laktory.narwhals_ext import dataframe, expr, functions
from laktory.narwhals_ext.register import register

__all__ = ["dataframe", "expr", "functions"]

register()
