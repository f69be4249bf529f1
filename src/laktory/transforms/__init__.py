"""Steps of a transformer and the `laktory` namespace of frames, written once over Narwhals."""

from laktory.transforms.errors import StatementError
from laktory.transforms.register import (
    register,
    register_anyframe_namespace,
    register_dataframe_namespace,
    register_expr_namespace,
    register_lazyframe_namespace,
)
from laktory.transforms.steps import apply

__all__ = [
    "StatementError",
    "apply",
    "register",
    "register_anyframe_namespace",
    "register_dataframe_namespace",
    "register_expr_namespace",
    "register_lazyframe_namespace",
]
