"""Why a reference has no value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laktory.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["UnresolvedError"]


class UnresolvedError(DefinitionError):
    """Raised inside the resolver only; it becomes a problem at the text that holds the reference.

    Attributes
    ----------
    hint, valid : as of a `Problem`
    always : an error even where unresolved text may stay
    key : failures of the same key are reported once
    offset : 0-based place of the fault behind the start of the reference, when known
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        valid: Sequence[str] = (),
        always: bool = False,
        key: object = None,
        offset: int | None = None,
    ) -> None:
        super().__init__(message)
        self.offset = offset
        self.hint = hint
        self.valid = valid
        self.always = always
        self.key = key
