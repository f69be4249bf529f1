"""Exceptions of Spark and Sail → errors of a run."""

from __future__ import annotations

import errno
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from narwhals.exceptions import NarwhalsError

from laktory.diagnostics import closest, plain_words
from laktory.diagnostics.secrets import redact
from laktory.engines.errors import in_words, reason, refused_cast, sink_failure
from laktory.engines.faults import located
from laktory.errors import RunError, SinkError, SourceError, StepError
from laktory.expressions.placeholders import line_column
from laktory.paths import local_path
from laktory.storage.files import os_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pyspark.sql import DataFrame

    from laktory.engines.protocol import FileRead

__all__ = ["failure_of", "is_failure", "message_of", "place_in", "syntax_words", "translated"]

_MAX_LENGTH = 300
_CLASS = re.compile(r"\[[A-Z][A-Z0-9_.]+\] ?")
_STATE = re.compile(r"\s*SQLSTATE: ?\w{5}.*", re.DOTALL)
_AFTER = re.compile(r"\n\s*(?:== |JVM stacktrace|at |'?Project|Driver stacktrace).*", re.DOTALL)
_PLACE = re.compile(r"\(line (\d+), pos (\d+)\)")
_CONF = re.compile(
    r"[.;,]? (?:If necessary|Use `try_\w+`|To return NULL instead|Correct the value)[^.]*(?:\.[^.]+)*\.?$"
)
_SUFFIX = re.compile(r"(?:Caused by: )([\w.$]+(?:Exception|Error)): (.*)")
_READING = re.compile(
    r"FAILED_READ_FILE|PATH_NOT_FOUND|FILE_NOT_EXIST|FILE_NOT_FOUND|MALFORMED_|CANNOT_READ|DELTA_"
    r"|Parquet (?:\w+ )?error|Csv error|Json error|Avro|Object at location|unequal lengths|Delta Kernel"
    r"|Invalid table location|commit file",
    re.IGNORECASE,
)
_SYSTEM = {
    errno.ENOSPC: re.compile("No space left on device"),
    errno.EDQUOT: re.compile("Disk quota exceeded"),
    errno.EFBIG: re.compile("File too large"),
    errno.EROFS: re.compile("Read-only file system"),
    errno.EACCES: re.compile("Permission denied"),
    errno.EMFILE: re.compile("Too many open files"),
    errno.EIO: re.compile("Input/output error"),
}
"""What the system says, as a Java machine hands it on."""
_WORDS = (
    (
        re.compile(
            r"A (?:column, variable, or function parameter|column or function parameter) with name `(.+?)` cannot be "
            r"resolved\. Did you mean one of the following\? \[(.*?)\]\.?"
        ),
        r"no column '\1'; columns like it: \2",
    ),
    (
        re.compile(
            r"A (?:column, variable, or function parameter|column or function parameter) with name `(.+?)` cannot be "
            r"resolved\.?"
        ),
        r"no column '\1'",
    ),
    (
        re.compile(r'attribute ObjectName\(.*Identifier\("(.+?)"\)\]\) is missing from the schema.*'),
        r"no column '\1'",
    ),
    (re.compile(r"The table or view `(.+?)` cannot be found\..*", re.DOTALL), r"no table '\1'"),
    (re.compile(r"Cannot resolve routine `(.+?)` on search path .*", re.DOTALL), r"no function '\1'"),
    (re.compile(r"Reference `(.+?)` is ambiguous, could be: \[(.*?)\]\.?"), r"column '\1' is in several tables: \2"),
    # Sail
    (re.compile(r"(?:Table not found: )?Table or view not found: (\S+)", re.DOTALL), r"no table '\1'"),
    (re.compile(r"unknown function: (\S+)"), r"no function '\1'"),
    (
        re.compile(r"one value expected: .*|(?:zero|two|three) values expected: .*"),
        "a function has too many or too few arguments",
    ),
    (re.compile(r'No field named .*"#\d+".*'), "a column beside an aggregate is not in GROUP BY"),
    (re.compile(r"\[\w+\] (SUM|AVG) not supported for .*"), r"\1 takes numbers"),
    (
        re.compile(r".*Function '(\w+)' (?:failed to match any signature|requires ).*", re.DOTALL),
        r"\1 does not take values of this type",
    ),
    (
        re.compile(r"^(?:\[\w+\] )?(?:long |integer )?overflow\b.*", re.DOTALL | re.IGNORECASE),
        "a whole number is out of range of its type; CAST to a wider one, DOUBLE or DECIMAL",
    ),
    (re.compile(r"`"), ""),
)
_NO_ATTRIBUTE = re.compile(r"attribute ObjectName\(\[(.*?)\]\) is missing from the schema.*", re.DOTALL)
_AMBIGUOUS = re.compile(r"ambiguous attribute: ObjectName\(\[(.*?)\]\)")
_PARTS = re.compile(r'Identifier\("(.*?)"\)')
_FOUND = re.compile(r"invalid argument: found (.+?)(?: at (\d+):\d+)? expected (.*)", re.DOTALL)
_LISTED = 5


@contextmanager
def translated(
    reads: Sequence[tuple[FileRead, Sequence[str]]] = (),
    staged: Sequence[str] = (),
    scratch: str = "",
    shown: Callable[[str], str] = str,
) -> Iterator[None]:
    """Raise what Spark raises inside as `SourceError`, `StepError` or `SinkError`.

    Parameters
    ----------
    reads : what Spark may read, with the files of each
    staged : paths that are being written
    scratch : folder of temporary files, where something is written
    shown : a message with the paths that users know
    """
    try:
        yield
    except RunError as error:
        cause = error.__cause__
        planned = isinstance(error, StepError) and cause is not None and is_failure(cause)
        if planned and cause is not None and (fault := _source_fault(shown(str(cause)), cause, reads)):
            raise SourceError(fault) from cause
        if (text := redact(shown(str(error)))) != str(error):
            raise type(error)(text) from cause
        raise
    except Exception as error:
        if not is_failure(error) and not isinstance(error, (NarwhalsError, OSError)):
            raise
        raise _failure(error, reads, staged, scratch, shown) from error


def is_failure(error: BaseException) -> bool:
    """Whether Spark, its client or the way to it raised an exception."""
    return any(kind.__module__.partition(".")[0] in {"pyspark", "py4j", "grpc"} for kind in type(error).__mro__)


def message_of(error: BaseException) -> str:
    """What an exception says first, on one line, without its class, its state and the plan."""
    text = str(error)
    if causes := _SUFFIX.findall(text):
        text = causes[-1][1]
    text = _STATE.sub("", _AFTER.sub("", _CLASS.sub("", text)))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    text = _CONF.sub("", " ".join(lines[:2])).strip()
    return plain_words(in_words(redact(text)))[:_MAX_LENGTH] if text else type(error).__name__


def failure_of(error: BaseException, frames: Mapping[str, DataFrame] | None = None) -> str:
    """The message in words that other engines use, with columns of the frames that are like one that is not there."""
    text = message_of(error)
    if found := _NO_ATTRIBUTE.search(text):
        names = _PARTS.findall(found[1])
        columns = [name for frame in (frames or {}).values() for name in frame.columns]
        hint = closest(names[-1], columns) or (f"columns: {', '.join(columns[:20])}" if columns else "")
        return f"no column '{'.'.join(names)}'{f'; {hint}' if hint else ''}"
    if found := _AMBIGUOUS.search(text):
        return f"column '{'.'.join(_PARTS.findall(found[1]))}' is in several tables"
    text = syntax_words(text)
    for pattern, words in _WORDS:
        text = pattern.sub(words, text)
    return text


def syntax_words(text: str) -> str:
    """What Sail found instead of a long list of words, or the message as it is."""
    found = _FOUND.search(text)
    if found is None:
        return text
    listed = found[3].split(", ")
    wanted = f"; expected {', '.join(listed)}" if len(listed) <= _LISTED else ""
    return f"Syntax error at or near {found[1]}{wanted}"


def place_in(text: str, statement: str) -> tuple[int | None, int | None]:
    """Line and column, 1-based, that a message names; None where it names none. Sail counts characters."""
    if found := _PLACE.search(text):
        return int(found[1]), int(found[2]) + 1
    if (found := _FOUND.search(text)) and found[2]:
        return line_column(statement, int(found[2]))
    return None, None


def _failure(
    error: BaseException,
    reads: Sequence[tuple[FileRead, Sequence[str]]],
    staged: Sequence[str],
    scratch: str,
    shown: Callable[[str], str],
) -> RunError:
    text = shown(str(error))
    if isinstance(error, NarwhalsError):
        return StepError(reason(error))
    number = os_number(error) or next((number for number, words in _SYSTEM.items() if words.search(text)), None)
    if staged and number is not None and (sink := sink_failure(OSError(number, text), staged, scratch)):
        return sink
    if refused := refused_cast(text):
        return StepError(refused)
    if staged and any(path in text for path in staged):
        return SinkError(redact(f"cannot write: {shown(message_of(error))}"))
    if fault := _source_fault(text, error, reads):
        return SourceError(fault)
    return StepError(failure_of(error))


def _source_fault(text: str, error: BaseException, reads: Sequence[tuple[FileRead, Sequence[str]]]) -> str | None:
    """What is wrong with what Spark reads, None if it is something else."""
    gone = next((file for _, files in reads for file in files if _is_gone(file)), None)
    if gone is not None:
        return redact(f"{gone!r} cannot be read: {os.strerror(errno.ENOENT)}")
    if not _READING.search(text):
        return None
    for read, files in reads:
        if place := located(read, files):
            return redact(place)
    named = next((read.path for read, files in reads if any(file in text for file in files)), None)
    if named is None and len(reads) == 1:
        named = reads[0][0].path
    said = message_of(error)
    return said if named is None or named in said else redact(f"{named!r} cannot be read: {said}")


def _is_gone(file: str) -> bool:
    local = local_path(file)
    return local is not None and not os.path.lexists(local)
