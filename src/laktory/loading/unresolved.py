"""Why a reference has no value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laktory.diagnostics import closest
from laktory.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["UnresolvedError", "foreign"]

_FOREIGN = {
    "params": "run-time parameters are not supported by this version; write '${{vars.{name}}}' and give '--var'",
    "env": "write '${{vars.{name}}}': a variable is looked up in the environment too",
    "resources": "resources of a stack are not supported by this version",
    "current_user": "the user of a workspace is not known to this version",
    "bundle": "references of a bundle are not supported by this version",
    "workspace": "references of a bundle are not supported by this version",
}


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


def foreign(body: str) -> UnresolvedError:
    """Why ``${params.day}`` and the like have no value here."""
    word, _, name = body.partition(".")
    hint = _FOREIGN.get(word.lower())
    if hint is None:
        near = closest(word, ("vars", "settings", *_FOREIGN))
        hint = near or "references are ${vars.NAME}, ${settings.NAME} and ${{ expression }}"
    else:
        hint = hint.format(name=name)
    shown = f"${{{body}}}"
    return UnresolvedError(f"{shown!r} has no value", hint=hint)
