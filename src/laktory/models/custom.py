"""Readers and writers of the user's own, and what they are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field, model_validator

from laktory.models.base import BaseModel
from laktory.models.problems import problem_error

__all__ = ["CustomReader", "CustomWriter", "LaktoryContext"]


@dataclass(frozen=True, slots=True)
class LaktoryContext:
    """What a custom function receives when it declares a parameter named `laktory_context`."""

    node: Any = None
    pipeline: Any = None
    sink: Any = None
    source: Any = None


class _CustomFunction(BaseModel):
    secretive: ClassVar = frozenset({"variables", "func_kwargs"})

    func_name: str = Field(
        description="Dotted path, `package.module.function`, of a module listed in the pipeline's `imports`."
    )
    func_args: list[Any] = Field(default=[], description="Positional arguments.")
    func_kwargs: dict[str, Any] = Field(default={}, description="Keyword arguments.")

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, data: Any) -> Any:
        data = {"func_name": data} if isinstance(data, str) else data
        name = data.get("func_name") if isinstance(data, dict) else None
        if isinstance(name, str) and not name.startswith("${"):
            parts = name.split(".")
            if len(parts) < 2 or not all(part.isidentifier() and not part.startswith("_") for part in parts):
                message = f"{name!r} is not a dotted path to a public function"
                raise problem_error(message, hint="write it as 'package.module.function'", key="func_name")
        return data


class CustomReader(_CustomFunction):
    """A function that returns a frame."""


class CustomWriter(_CustomFunction):
    """A function that receives the frame to write as its first argument."""
