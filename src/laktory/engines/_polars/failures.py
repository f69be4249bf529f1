"""Exceptions of Polars → errors of a run."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import polars as pl
from narwhals.exceptions import NarwhalsError

from laktory.diagnostics.secrets import redact
from laktory.engines.errors import conversion_fault, is_panic, os_reason, reason, sink_failure
from laktory.engines.locate import broken_json_line, ragged_csv_line
from laktory.errors import RunError, SinkError, SourceError, StepError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from laktory.engines.protocol import FileRead

__all__ = ["translated"]

_SOURCE = re.compile(
    r"could not parse `|^cannot parse '|deserializ|json parsing|error parsing line|NDJSON|more fields than defined"
    r"|invalid utf-?8|parquet: |out-of-spec|out of specification|empty CSV|column names not specified in schema"
    # text that did not fit its declared type, see `schemas.from_text`
    '|\N{NO-BREAK SPACE}"'
)


@contextmanager
def translated(
    reads: Sequence[tuple[FileRead, Sequence[str]]] = (), staged: Sequence[str] = (), scratch: str = ""
) -> Iterator[None]:
    """Raise what Polars raises inside as `SourceError`, `StepError` or `SinkError`.

    Parameters
    ----------
    reads : what the computed frames may come from, with the files of each
    staged : paths that are being written
    scratch : folder of temporary files, where something is written
    """
    try:
        yield
    except RunError as error:
        if (text := redact(str(error))) != str(error):
            raise type(error)(text) from error.__cause__
        raise
    except BaseException as error:
        if isinstance(error, (pl.exceptions.PolarsError, NarwhalsError, OSError)) or is_panic(error):
            raise _failure(error, reads, staged, scratch) from error
        raise


def _failure(
    error: BaseException, reads: Sequence[tuple[FileRead, Sequence[str]]], staged: Sequence[str], scratch: str
) -> RunError:
    if staged and (sink := sink_failure(error, staged, scratch)):
        return sink
    text = str(error)
    said = conversion_fault(error)
    if isinstance(error, OSError) or _SOURCE.search(text):
        return SourceError(_where(text, reads) or _message(error, reads, said))
    if is_panic(error):
        return (SinkError if staged else StepError)("POLARS cannot do this: one of its parts gave up; see the cause")
    return StepError(said or reason(error))


def _message(error: BaseException, reads: Sequence[tuple[FileRead, Sequence[str]]], said: str | None) -> str:
    text = said or reason(error)
    named = next((read.path for read, files in reads if any(file in str(error) for file in files)), None)
    if named is None and len({read.path for read, _ in reads}) == 1:
        named = reads[0][0].path
    return f"{named!r}: {os_reason(error) or text}" if named else text


def _where(text: str, reads: Sequence[tuple[FileRead, Sequence[str]]]) -> str | None:
    """File and line, where only the text of the file can tell."""
    for read, files in reads:
        if read.format in {"JSONL", "NDJSON"} and "more fields" not in text and (place := broken_json_line(files)):
            return place
        if read.format == "CSV" and ("more fields" in text or "utf" in text):
            separator, quote = read.kwargs.get("separator", ","), read.kwargs.get("quote_char", '"')
            if place := ragged_csv_line(files, separator, quote):
                return place
    return None
