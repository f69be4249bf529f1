"""Namespace ``laktory`` of expressions."""

from laktory.transforms.exprs import LaktoryExpr

__all__ = ["LaktoryExpr"]
