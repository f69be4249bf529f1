"""What a run found about a rule."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from laktory.models.base import BaseModel

__all__ = ["DataQualityCheck"]


class DataQualityCheck(BaseModel):
    """Outcome of one expectation in the last run of its node."""

    status: Literal["PASS", "FAIL"] = Field(description="FAIL if more rows failed than the tolerance allows.")
    rows_count: int = Field(description="Rows that were judged: those of the node before any was removed.")
    fails_count: int | None = Field(
        default=None, description="Rows for which the rule is not true; None for a rule of type AGGREGATE."
    )

    @property
    def failure_rate(self) -> float | None:
        """Share of rows that failed, 0 of an empty frame; None for a rule of type AGGREGATE."""
        if self.fails_count is None:
            return None
        return self.fails_count / self.rows_count if self.rows_count else 0.0

    @property
    def summary(self) -> str:
        """``status: FAIL | fails count: 1 / 4 (25.00 %)``."""
        if self.fails_count is None:
            return f"status: {self.status}"
        percent = 100 * (self.failure_rate or 0)
        return f"status: {self.status} | fails count: {self.fails_count} / {self.rows_count} ({percent:.2f} %)"
