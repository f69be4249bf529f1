"""Names for annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import StringConstraints

if TYPE_CHECKING:
    import narwhals as nw

    AnyFrame = nw.LazyFrame[Any] | nw.DataFrame[Any]
    """A narwhals frame, lazy or not."""

__all__ = ["AnyFrame", "VariableType"]

VariableType = Annotated[str, StringConstraints(pattern=r"^\$\{")]
"""A text that stands for a value to come."""


def __getattr__(name: str) -> Any:
    if name == "AnyFrame":
        import narwhals as nw

        return nw.LazyFrame | nw.DataFrame
    msg = f"module 'laktory.typing' has no attribute {name!r}"
    raise AttributeError(msg)
