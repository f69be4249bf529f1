"""What a failed step tells beyond its message."""

from __future__ import annotations

from laktory.errors import StepError

__all__ = ["StatementError"]


class StatementError(StepError):
    """A SQL step is refused or fails.

    Attributes
    ----------
    line, column : 1-based place in the text of the step, when known
    hint : what to write instead, when known
    """

    def __init__(
        self, message: str, *, line: int | None = None, column: int | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        self.hint = hint
