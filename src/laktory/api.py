"""Registration of namespaces for Narwhals frames and expressions. Importing this registers Laktory's own."""

from laktory.narwhals_ext.register import (
    register,
    register_anyframe_namespace,
    register_dataframe_namespace,
    register_expr_namespace,
    register_lazyframe_namespace,
)

__all__ = [
    "register_anyframe_namespace",
    "register_dataframe_namespace",
    "register_expr_namespace",
    "register_lazyframe_namespace",
]

register()
