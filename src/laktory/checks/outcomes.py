"""What follows from how many rows failed: status, warnings, failure of the node."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from laktory.diagnostics.secrets import redact
from laktory.errors import DataQualityCheckFailedError, DataQualityWarning
from laktory.models.dataquality import DataQualityCheck

if TYPE_CHECKING:
    from laktory.models.dataquality import DataQualityExpectation

__all__ = ["act", "check_of", "is_fatal"]


def check_of(
    rule: DataQualityExpectation, rows: int, fails: int | None, *, passed: bool | None = None
) -> DataQualityCheck:
    """The outcome of a rule.

    Parameters
    ----------
    rows : rows that were judged
    fails : how many of them failed, for type ROW
    passed : its value for type AGGREGATE; None is NULL, which passes where there are no rows
    """
    of_all = passed is True or (passed is None and not rows)
    met = of_all if fails is None else rule.tolerance.allows(fails, rows)
    return DataQualityCheck(status="PASS" if met else "FAIL", rows_count=rows, fails_count=fails)


def is_fatal(rule: DataQualityExpectation, check: DataQualityCheck) -> bool:
    """Whether the outcome fails the node."""
    above = rule.fail_above
    if above is not None and not above.allows(check.fails_count or 0, check.rows_count):
        return True
    return rule.action == "FAIL" and check.status == "FAIL"


def act(rule: DataQualityExpectation, check: DataQualityCheck, node: str | None) -> None:
    """Raise or warn.

    Raises
    ------
    DataQualityCheckFailedError
        See `is_fatal`.
    """
    if is_fatal(rule, check):
        error = DataQualityCheckFailedError(rule, node, check)
        error.args = (redact(str(error.args[0])),)
        raise error
    if check.status == "FAIL":
        msg = f"Expectation '{rule.name}' for node '{node}' FAILED | expr: {rule.text} | {check.summary}"
        warnings.warn(redact(msg), DataQualityWarning, stacklevel=2)
