"""Exceptions of Polars → errors of a run."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import polars as pl
from narwhals.exceptions import NarwhalsError

from laktory.diagnostics.secrets import redact
from laktory.engines.errors import conversion_fault, is_panic, reason, refused_cast, sink_failure
from laktory.engines.faults import source_fault
from laktory.errors import RunError, SinkError, SourceError, StepError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from laktory.engines.protocol import FileRead

__all__ = ["translated"]

_ADDED = "\n\nThis error occurred"


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
        # Polars adds where in its plan a function of Python failed
        if (text := redact(str(error).partition(_ADDED)[0])) != str(error):
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
    if refused := refused_cast(str(error)):
        return StepError(refused)
    if fault := source_fault(error, reads):
        return SourceError(fault)
    if is_panic(error):
        return (SinkError if staged else StepError)("POLARS cannot do this: one of its parts gave up; see the cause")
    return StepError(conversion_fault(error) or reason(error))
