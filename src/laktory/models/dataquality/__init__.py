"""Rules that rows have to meet."""

from laktory.models.dataquality.check import DataQualityCheck
from laktory.models.dataquality.expectation import (
    AcceptedValues,
    DataQualityExpectation,
    ExpectationTolerance,
    References,
    UniqueKeys,
)

__all__ = [
    "AcceptedValues",
    "DataQualityCheck",
    "DataQualityExpectation",
    "ExpectationTolerance",
    "References",
    "UniqueKeys",
]
