"""Exceptions of DuckDB → errors of a run."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb
import polars as pl
from narwhals.exceptions import NarwhalsError

from laktory.diagnostics import closest, plain_words
from laktory.diagnostics.secrets import redact
from laktory.engines.errors import in_words, is_panic, reason, refused_cast, sink_failure
from laktory.engines.faults import located, source_fault
from laktory.engines.locate import broken_json_line
from laktory.errors import RunError, RunInterrupted, SinkError, SourceError, StepError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from laktory.engines._duckdb.streams import Source

__all__ = ["SINK_MARK", "SOURCE_MARK", "message_of", "statement_failure", "translated"]

SOURCE_MARK = "source: "
"""Beginning of what queries over files raise themselves."""

SINK_MARK = "sink: "
"""Beginning of what casts for a sink raise themselves."""

_KIND = re.compile(r"^(?:[A-Z][A-Za-z]* |of )+?(?:Error|Exception): |^Error: ")
_LINE = re.compile(r"\s*\n+LINE \d+:.*", re.DOTALL)
_STREAM = re.compile(r"registered as '(\w+)' (?:as Arrow data )?failed: ", re.DOTALL)
_FILE = re.compile(r"^\s*file = (.+)$", re.MULTILINE)
_JSON_FILE = re.compile(r'in file "([^"]+)", (?:at byte \d+ )?in (?:line|record/value) (\d+): (.*)', re.DOTALL)
_CSV_LINE = re.compile(r"CSV Error on Line: (\d+)")
_CSV_WIDTH = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
_NOT_CONVERTED = re.compile(r'Could not convert string "(.*?)" to \'(.+?)\'', re.DOTALL)
_COLUMN = re.compile(r'converting column "(.+?)"')
_PARQUET = re.compile(
    r"No magic bytes|Parquet file|Snappy|TProtocol|ZSTD|Out of buffer|decompress|corrupt", re.IGNORECASE
)
_MISFIT = re.compile(r"column '(.*?)': '(.*)' is no ", re.DOTALL)
_RANGE = re.compile(
    r"Type \w+ with value (\S+) can't be cast .* for the destination type (\w+)"
    r"(?: when casting from source column (.+))?"
)
_TYPES = {
    **{f"INT{size}": f"Int{size}" for size in (8, 16, 32, 64, 128)},
    **{f"UINT{size}": f"UInt{size}" for size in (8, 16, 32, 64, 128)},
}
_NO_TABLE = re.compile(r"Table with name (\S+) does not exist")
_REWORDED = (
    (re.compile(r'Referenced column "(.+?)" (?:was )?not found (?:in FROM clause|because .*)!?'), r"no column '\1'"),
    (re.compile(r'(?:Values list|Table) "(.+?)" does not have a column named "(.+?)"'), r"table '\1' has no '\2'"),
    (re.compile(r"(?:Scalar|Aggregate|Table|Macro)? ?Function with name (\S+) does not exist!?"), r"no function '\1'"),
    (
        re.compile(r'UNION \(ALL\) BY NAME .* the name ""(.*?)"" occurs .*'),
        r"two columns are named '\1', case ignored; give one another name with AS",
    ),
    (re.compile(r"!?\s+Candidate (bindings|tables): "), r"; \1 like it: "),
    (re.compile(r"!?\s+Did you mean "), "; did you mean "),
    (re.compile(r"; bindings like it"), "; columns like it"),
)  # fmt: skip


@contextmanager
def translated(
    reads: Mapping[str, Source],
    staged: Iterable[str] = (),
    scanned: Source | None = None,
    scratch: str = "",
) -> Iterator[None]:
    """Raise what DuckDB, or Polars below it, raises inside as `SourceError`, `StepError` or `SinkError`.

    Parameters
    ----------
    reads : table or view → what it reads
    staged : paths that are being written
    scanned : what is being read, when nothing else is computed
    scratch : folder of temporary files, where something is written
    """
    try:
        yield
    except RunError as error:
        if (text := redact(str(error))) != str(error):
            raise type(error)(text) from error.__cause__
        raise
    except duckdb.InterruptException as error:
        msg = "the query was stopped"
        raise RunInterrupted(msg) from error
    except BaseException as error:
        if isinstance(error, (duckdb.Error, pl.exceptions.PolarsError, NarwhalsError, OSError)) or is_panic(error):
            raise _failure(error, reads, list(staged), scanned, scratch) from error
        raise


def message_of(error: BaseException) -> str:
    """The first paragraph of a message of DuckDB on one line, without the kind of error and the quoted statement."""
    text = _KIND.sub("", _LINE.sub("", str(error)))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return plain_words(in_words(redact(" ".join(lines[:2]))))[:300] if lines else type(error).__name__


def statement_failure(error: duckdb.Error, tables: Iterable[str]) -> StepError:
    """A statement that cannot be planned, with candidates."""
    text = message_of(error)
    if missing := _NO_TABLE.search(text):
        tables = sorted(tables)
        hint = closest(missing[1], tables) or f"tables: {', '.join(tables) or 'none'}"
        return StepError(f"SQL: no table {missing[1]!r}; {hint}")
    for pattern, words in _REWORDED:
        text = pattern.sub(words, text)
    return StepError(f"SQL: {text}")


def _failure(
    error: BaseException, reads: Mapping[str, Source], staged: list[str], scanned: Source | None, scratch: str
) -> RunError:
    if staged and (sink := sink_failure(error, staged, scratch)):
        return sink
    text = _LINE.sub("", str(error))
    if refused := refused_cast(text):
        return StepError(refused)
    if SOURCE_MARK in text:
        return SourceError(_misfit(message_of(error).partition(SOURCE_MARK)[2], reads))
    if SINK_MARK in text:
        return SinkError(message_of(error).partition(SINK_MARK)[2])
    if stream := _STREAM.search(text):
        return _stream_failure(error, reads.get(stream[1]))
    if isinstance(error, duckdb.OutOfMemoryException):
        return StepError(f"out of memory: {message_of(error).partition(' Possible solutions')[0]}")
    if staged and any(path in text for path in staged):
        return SinkError(f"cannot write: {message_of(error)}")
    if found := _text_file(text):
        return SourceError(redact(found))
    if scanned is not None:
        return SourceError(source_fault(error, [scanned.pair], sure=True) or _words(error))
    if isinstance(error, (duckdb.IOException, duckdb.HTTPException, OSError)) or _PARQUET.search(text):
        places = (located(*source.pair) for source in reads.values() if source.stream is None)
        if place := next(filter(None, places), None):
            return SourceError(redact(place))
        text, paths = message_of(error), {source.read.path for source in reads.values()}
        alone = next(iter(paths)) if len(paths) == 1 else None
        return SourceError(text if alone is None or alone in text else f"{alone!r} cannot be read: {text}")
    return StepError(_words(error))


def _misfit(said: str, reads: Mapping[str, Source]) -> str:
    """A value of JSON lines that is none of its declared type, with its line where that is found."""
    found = _MISFIT.match(said)
    lines = [source for source in reads.values() if source.read.format in {"JSONL", "NDJSON"}]
    if found is None or not lines:
        return said
    places = (broken_json_line(source.files, (found[1], found[2], said)) for source in lines)
    return redact(next(filter(None, places), said))


def _stream_failure(error: BaseException, source: Source | None) -> RunError:
    """What is wrong with what Polars reads for DuckDB."""
    if source is None or source.stream is None or source.stream.failure is None:
        return SourceError(message_of(error))
    failure = source.stream.failure
    if isinstance(failure, RunError):
        return failure
    return SourceError(source_fault(failure, [source.pair], sure=True) or reason(failure))


def _words(error: BaseException) -> str:
    if not isinstance(error, duckdb.Error):
        return reason(error)
    text = message_of(error)
    if found := _RANGE.search(text):
        return f"{f'column {found[3]!r}: ' if found[3] else ''}{found[1]!r} is no {_TYPES.get(found[2], found[2])}"
    return text


def _text_file(text: str) -> str | None:
    """``'file' line 3: …`` for what is wrong in a CSV or JSON file."""
    if line := _CSV_LINE.search(text):
        file = found[1] if (found := _FILE.search(text)) else "CSV"
        if width := _CSV_WIDTH.search(text):
            return f"{file!r} line {line[1]}: {width[2]} values, expected {width[1]}"
        if value := _NOT_CONVERTED.search(text):
            column = f"column {found[1]!r}: " if (found := _COLUMN.search(text)) else ""
            return f"{file!r} line {line[1]}: {column}{value[1]!r} is no {value[2]}"
        lines = [part.strip() for part in text.splitlines()]
        said = [part for part in lines[1:] if part and not part.startswith(("Original Line", "Possible", "*"))]
        return f"{file!r} line {line[1]}: {said[0] if said else 'cannot be read'}"
    if "JSON" in text and (file_ := _JSON_FILE.search(text)):
        words = redact(file_[3].partition("\n")[0].strip())
        return broken_json_line([file_[1]]) or f"{file_[1]!r} line {file_[2]}: {words}"
    return None
