"""What the engines share in turning exceptions of their libraries into short messages."""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING

from laktory.diagnostics import closest
from laktory.diagnostics.secrets import redact
from laktory.errors import SinkError, SourceError
from laktory.storage.files import system_reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from laktory.errors import RunError

__all__ = ["check_arguments", "in_words", "os_reason", "reason", "sink_failure"]

_MAX_LENGTH = 300
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE})
_TOO_LARGE = (
    re.compile(r"conversion from `i128` to `i64` failed .*?\[(-?\d+)"),
    re.compile(r"Type INT128 with value (-?\d+) can't be cast .* out of range for the destination type INT64"),
)
_OS_ERROR = re.compile(r"\(os error (\d+)\)")


def in_words(text: str) -> str:
    """A message of a library, where it is about a whole number that is too large: in words."""
    found = next((match for pattern in _TOO_LARGE if (match := pattern.search(text))), None)
    return (
        text if found is None else f"the whole number {found[1]} is out of range of 64 bits; CAST to DOUBLE or DECIMAL"
    )


def reason(error: BaseException) -> str:
    """First sentence of a library's message, on one line, without secrets."""
    if isinstance(error, OSError) and error.strerror:
        return redact(error.strerror)
    text = str(error).strip().partition("\n")[0].strip() or type(error).__name__
    text = in_words(redact(text))
    return text if len(text) <= _MAX_LENGTH else text[: _MAX_LENGTH - 1] + "…"


def os_reason(error: BaseException) -> str | None:
    """Plain words for an operating system error, also one a library wrapped into its own, or None."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (found := _OS_ERROR.search(str(error))):
        number = int(found[1])
    return system_reason(number) if number is not None else None


def sink_failure(error: BaseException, paths: Iterable[str]) -> SinkError | None:
    """The failure as one of the staged `paths` when it is: no room, no permission, a path in the message."""
    words = os_reason(error)
    if words is None:
        return None
    paths = list(paths)
    named = next((path for path in paths if path in str(error)), None)
    if named is None and words not in {os.strerror(number) for number in _NO_ROOM}:
        return None
    return SinkError(redact(f"cannot write {named or ', '.join(paths)!r}: {words}"))


def check_arguments(given: Iterable[str], valid: Iterable[str], what: str, kind: type[RunError] = SourceError) -> None:
    """Refuse keyword arguments a reader or writer does not have.

    Raises
    ------
    RunError
        Of the given kind, with the closest valid name.
    """
    valid = sorted(valid)
    for name in given:
        if name not in valid:
            hint = closest(name, valid) or f"valid: {', '.join(valid)}"
            msg = f"{what} has no argument {name!r}; {hint}"
            raise kind(msg)
