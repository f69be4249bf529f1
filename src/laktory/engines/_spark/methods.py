"""Methods of frames that Narwhals gets wrong over a frame of Spark, done right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import narwhals as nw

__all__ = ["METHODS"]

METHODS: Mapping[str, Callable[..., nw.LazyFrame[Any]]] = {}
