"""A method called on an engine's reader or writer."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from laktory.models.base import BaseModel

__all__ = ["ReaderWriterMethod"]


class ReaderWriterMethod(BaseModel):
    """A method call, e.g. ``name: partitionBy``, ``args: [symbol]``."""

    name: str = Field(description="Method name.")
    args: list[Any] = Field(default=[], description="Positional arguments.")
    kwargs: dict[str, Any] = Field(default={}, description="Keyword arguments.")

    @property
    def as_string(self) -> str:
        """``name(arg,…,k=v)``, for logs."""
        arguments = [repr(arg) for arg in self.args] + [f"{key}={value!r}" for key, value in self.kwargs.items()]
        return f"{self.name}({','.join(arguments)})"
