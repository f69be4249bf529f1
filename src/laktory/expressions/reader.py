"""How sqlglot reads statements and expressions: as DuckDB does, which also takes what Polars accepts."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlglot import Dialect
    from sqlglot.tokenizer_core import Token

__all__ = ["reader", "silence", "tokens_of"]

# the packages of sqlglot import one another: threads that import it at once, each at another end, deadlock
_IMPORT = threading.Lock()

_silent: ContextVar[bool] = ContextVar("silent", default=False)


@lru_cache(maxsize=8)
def reader(dialect: str) -> Dialect:
    """Dialect of sqlglot to read with; those of the engines that run here are one, which also quotes with backticks."""
    if dialect == "postgres":
        return reader("duckdb")
    with _IMPORT:
        from sqlglot.dialects.dialect import Dialect
        from sqlglot.dialects.duckdb import DuckDB

    if dialect != "duckdb":
        return Dialect.get_or_raise(dialect)

    # no parser is derived: those of the compiled build of sqlglot cannot be
    class Laktory(DuckDB):
        class Tokenizer(DuckDB.Tokenizer):
            IDENTIFIERS = ['"', "`"]  # noqa: RUF012 - as sqlglot declares it

    return Laktory()


def tokens_of(sql: str) -> list[Token] | None:
    """Tokens of a text; None if a quote or a comment in it is not closed."""
    from sqlglot.errors import SqlglotError

    try:
        return list(reader("duckdb").tokenize(sql))
    except SqlglotError:
        return None


def _heard(_: logging.LogRecord) -> bool:
    return not _silent.get()


@contextmanager
def silence() -> Iterator[None]:
    """Keep sqlglot from logging statements that it only understands in part."""
    logging.getLogger("sqlglot").addFilter(_heard)  # a second time changes nothing
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)
