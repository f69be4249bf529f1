"""Exceptions under the import path that scripts use; they live in `laktory.errors`."""

from laktory.errors import (
    DataQualityCheckFailedError,
    DataQualityExpectationsNotSupported,
    DataQualityWarning,
    DefinitionError,
    ExpressionError,
    LaktoryError,
    MissingColumnError,
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

MissingColumnsError = MissingColumnError
"""The name that scripts use for several."""

__all__ = [
    "DataQualityCheckFailedError",
    "DataQualityExpectationsNotSupported",
    "DataQualityWarning",
    "DefinitionError",
    "ExpressionError",
    "LaktoryError",
    "MissingColumnError",
    "MissingColumnsError",
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
