"""Exceptions under the import path that scripts use; they live in `laktory.errors`."""

from laktory.errors import (
    DefinitionError,
    ExpressionError,
    LaktoryError,
    MissingDependencyError,
    RunError,
    RunInterrupted,
    SinkError,
    SourceError,
    StepError,
    TargetLockedError,
    UnsupportedError,
    UnsupportedNameError,
)

__all__ = [
    "DefinitionError",
    "ExpressionError",
    "LaktoryError",
    "MissingDependencyError",
    "RunError",
    "RunInterrupted",
    "SinkError",
    "SourceError",
    "StepError",
    "TargetLockedError",
    "UnsupportedError",
    "UnsupportedNameError",
]
