"""What the engines share in turning exceptions of their libraries into short messages."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from laktory.diagnostics import closest, plain_words
from laktory.diagnostics.secrets import redact
from laktory.errors import SinkError, SourceError
from laktory.storage.files import os_number, system_reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from laktory.errors import RunError

__all__ = [
    "Conversion",
    "check_arguments",
    "check_compression",
    "conversion",
    "conversion_fault",
    "in_words",
    "is_panic",
    "os_reason",
    "reason",
    "refused_cast",
    "sink_failure",
]

_MAX_LENGTH = 300
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_OF_WRITING = _NO_ROOM | {errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE, errno.ENFILE}
_TOO_LARGE = (
    re.compile(r"conversion from `i128` to `i64` failed .*?\[(-?\d+)"),
    re.compile(r"Type INT128 with value (-?\d+) can't be cast .* out of range for the destination type INT64"),
    re.compile(r'The value (-?\d+)BD of the type "DECIMAL\(\d+,0\)" cannot be cast to "BIGINT"'),
    re.compile(r"value of (-?\d+) is out of range Int64"),
)
_CONVERSION = re.compile(
    r"conversion from `[^`]+` to `([^`]+)` failed in column '(.*?)' for (\d+ out of \d+) values?: \[(.*?)[,\]]",
    re.DOTALL,
)
_NOT_PARSED = re.compile(
    r"could not parse `(.*?)` as dtype `(.+?)` at column '(.*?)'|cannot parse '(.*?)' \(\w+\) as (\w+)", re.DOTALL
)
_NO_OBJECT = re.compile(r"^object-store error: Object at location .* not found")


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
    text = plain_words(in_words(redact(text)))
    return text if len(text) <= _MAX_LENGTH else text[: _MAX_LENGTH - 1] + "…"


_REFUSED_CAST = re.compile(r"(['\"`])(not an? [a-z ]+|neither true nor false): (.*?)\1", re.DOTALL)


def refused_cast(text: str) -> str | None:
    """What a library says of a text that a SQL expression made unreadable, because it is no value of a type."""
    found = _REFUSED_CAST.search(text)
    return redact(f"{found[3][:_MAX_LENGTH]!r} is {found[2]}") if found else None


@dataclass(frozen=True, slots=True)
class Conversion:
    """A value that is none of a type.

    Attributes
    ----------
    column : where it is known
    words : ``column 'a': 'x' is no Int64``
    count : `` (1 of 2 values)``, where it is known
    """

    column: str | None
    value: str
    words: str
    count: str = ""


def conversion(error: object) -> Conversion | None:
    """What a message of Polars says about a value, or None."""
    text = str(error)
    if in_words(text) != text:
        return None
    if found := _CONVERSION.search(text):
        column = None if found[2] in {"", "literal", "scalar"} else found[2]
        value = found[4].strip().strip('"').rstrip("\N{NO-BREAK SPACE}")
        said, count = f"is no {_type_name(found[1])}", f" ({found[3].replace(' out', '')} values)"
    elif found := _NOT_PARSED.search(text):
        column, value = found[3], found[1] or found[4] or ""
        value = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
        said, count = f"is no {_type_name(found[2] or found[5])}", ""
    else:
        return None
    where = f"column {column!r}: " if column else ""
    return Conversion(column, value, f"{where}{redact(value)[:100]!r} {said}", count)


def conversion_fault(error: object) -> str | None:
    """``column 'a': 'x' is no Int64 (1 of 2 values)`` for a message of Polars about values, or None."""
    found = conversion(error)
    return f"{found.words}{found.count}" if found else None


def _type_name(text: str) -> str:
    """A type as Polars writes it in messages, as users know it."""
    if found := re.fullmatch(r"([iuf])(\d+)", text):
        return f"{ {'i': 'Int', 'u': 'UInt', 'f': 'Float'}[found[1]] }{found[2]}"
    if text.startswith("datetime["):
        return "Datetime"
    names = {"str": "String", "bool": "Boolean"}
    return names.get(text, text[:1].upper() + text[1:])


def is_panic(error: BaseException) -> bool:
    """Whether Polars gave up in a way that no `except Exception` sees. Each of its builds has a class of its own."""
    return any(kind.__name__ == "PanicException" for kind in type(error).__mro__)


def os_reason(error: BaseException) -> str | None:
    """Plain words for an operating system error, also one a library wrapped into its own, or None."""
    number = os_number(error)
    if number is None and _NO_OBJECT.search(str(error)):
        number = errno.ENOENT
    return system_reason(number) if number is not None else None


def sink_failure(error: BaseException, paths: Iterable[str], scratch: str) -> SinkError | None:
    """The failure as one of the staged `paths` when it is: no room, no permission, a path in the message.

    Parameters
    ----------
    scratch : folder of temporary files, which may be what is full
    """
    number = os_number(error)
    if number is None:
        return None
    paths = list(paths)
    named = next((path for path in paths if path in str(error)), None)
    if named is None and number not in _OF_WRITING:
        return None
    places = [named] if named else paths
    if number in _NO_ROOM and named is None and (scratch in str(error) or _has_less_room(scratch, paths)):
        return SinkError(f"cannot write temporary files in {tempfile.gettempdir()!r}: {system_reason(number)}")
    return SinkError(redact(f"cannot write {', '.join(map(repr, places))}: {system_reason(number)}"))


def _has_less_room(scratch: str, paths: Iterable[str]) -> bool:
    """Whether a folder is on another device than files to be written, and that is fuller."""
    try:
        found = [os.path.dirname(path) for path in paths]  # noqa: PTH120
        others = [folder for folder in found if os.stat(folder).st_dev != os.stat(scratch).st_dev]  # noqa: PTH116
        return bool(found) and len(others) == len(found) and _room(scratch) < min(map(_room, others))
    except OSError:
        return False


def _room(folder: str) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


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


def check_compression(
    given: Mapping[str, object], valid: Iterable[str], what: str, kind: type[RunError] = SourceError
) -> None:
    """Refuse a compression that a reader or writer does not have.

    Raises
    ------
    RunError
        Of the given kind, with the valid ones.
    """
    valid = sorted(valid)
    chosen = given.get("compression")
    if chosen is not None and (not isinstance(chosen, str) or chosen.lower() not in valid):
        msg = f"{what} has no compression {chosen!r}; valid: {', '.join(valid)}"
        raise kind(msg)
