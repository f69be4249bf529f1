"""Exceptions of Spark and Sail → errors of a run."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from narwhals.exceptions import NarwhalsError

from laktory.diagnostics import closest, plain_words
from laktory.diagnostics.secrets import redact
from laktory.engines.errors import in_words, reason, refused_cast
from laktory.errors import RunError, SinkError, SourceError, StepError
from laktory.expressions.placeholders import line_column

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
        "a whole number is out of range of 64 bits; CAST to DOUBLE or DECIMAL",
    ),
    (re.compile(r"`"), ""),
)
_NO_ATTRIBUTE = re.compile(r"attribute ObjectName\(\[(.*?)\]\) is missing from the schema.*", re.DOTALL)
_AMBIGUOUS = re.compile(r"ambiguous attribute: ObjectName\(\[(.*?)\]\)")
_PARTS = re.compile(r'Identifier\("(.*?)"\)')
_FOUND = re.compile(r"invalid argument: found (.+?)(?: at (\d+):\d+)? expected (.*)", re.DOTALL)
_LISTED = 5


@contextmanager
def translated(reads: Sequence[FileRead] = (), staged: Sequence[str] = ()) -> Iterator[None]:
    """Raise what Spark raises inside as `SourceError`, `StepError` or `SinkError`.

    Parameters
    ----------
    reads : what the computed frames may come from
    staged : paths that are being written
    """
    try:
        yield
    except RunError:
        raise
    except Exception as error:
        if not is_failure(error) and not isinstance(error, NarwhalsError):
            raise
        raise _failure(error, reads, staged) from error


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


def _failure(error: BaseException, reads: Sequence[FileRead], staged: Sequence[str]) -> RunError:
    text = str(error)
    if isinstance(error, NarwhalsError):
        return StepError(reason(error))
    if refused := refused_cast(text):
        return StepError(refused)
    named = next((read.path for read in reads if read.path in text), None)
    if any(path in text for path in staged):
        return SinkError(f"cannot write: {message_of(error)}")
    if named is not None and ("FILE_NOT" in text or "FAILED_READ_FILE" in text or "PATH_NOT_FOUND" in text):
        return SourceError(f"{named!r} cannot be read: {message_of(error)}")
    return StepError(failure_of(error))
