"""Errors of readers → what is wrong with which file, in the same words on every engine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from laktory.diagnostics.secrets import redact
from laktory.engines.delta_tables import data_files
from laktory.engines.errors import conversion, is_panic, os_reason, reason
from laktory.engines.locate import Dialect, broken_csv_line, broken_json_line, broken_text_line
from laktory.engines.scans import checked_scan
from laktory.errors import SourceError
from laktory.paths import local_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from laktory.engines.protocol import FileRead

__all__ = ["located", "source_fault"]

_SOURCE = re.compile(
    r"could not parse `|^cannot parse '|deserializ|json parsing|error parsing line|NDJSON|more fields than defined"
    r"|invalid utf-?8|parquet: |out-of-spec|out of specification|empty CSV|column names not specified in schema"
    r"|CSV malformed|gzip stream|unexpected end of file|incomplete frame"
    # text that did not fit its declared type, see `schemas.from_text`
    '|\N{NO-BREAK SPACE}"',
    re.IGNORECASE,
)


def source_fault(
    error: BaseException, reads: Iterable[tuple[FileRead, Sequence[str]]], *, sure: bool = False
) -> str | None:
    """What is wrong with what is read, None if the error is not about that.

    Parameters
    ----------
    reads : what may be read, with the files of each
    sure : the error is about one of these
    """
    reads = list(reads)
    panic = is_panic(error)
    if not (sure or panic or isinstance(error, OSError) or _SOURCE.search(str(error))):
        return None
    for read, files in reads:
        if place := located(read, files, error):
            return redact(place)
    if panic and not sure:
        return None
    said = "its rows cannot be computed" if panic else os_reason(error)
    if said is None:
        found = conversion(error)
        said = f"{found.words}{found.count}" if found else reason(error)
    named = next((read.path for read, files in reads if any(file in str(error) for file in files)), None)
    if named is None and len(reads) == 1:
        named = reads[0][0].path
    return f"{named!r}: {said}" if named and f"{named!r}" not in said else said


def located(read: FileRead, files: Sequence[str], error: BaseException | None = None) -> str | None:
    """File, line and fault, where reading the files again tells it; None if nothing is found."""
    files = [file for file in files if local_path(file) is not None]
    found = conversion(error) if error is not None else None
    value = (found.column, found.value, found.words) if found else None
    if read.format in {"JSONL", "NDJSON"}:
        return broken_json_line(files, value)
    if read.format == "CSV":
        return broken_csv_line(files, Dialect.of(read.kwargs, has_header=read.has_header), value)
    if read.format == "TEXT":
        return broken_text_line(files)
    if read.format == "DELTA":
        return _damaged(data_files(read), "PARQUET")
    return _damaged(files, read.format) if read.format in {"PARQUET", "IPC"} else None


def _damaged(files: Iterable[str], format: str) -> str | None:  # noqa: A002
    """The first file whose columns or rows cannot be read."""
    for file in files:
        try:
            checked_scan(file, format).sink_batches(lambda _: None)
        except SourceError as error:
            return str(error)
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            return f"{file!r} is damaged: its rows cannot be read"
    return None
