"""Where text files are broken: looked up after a reader failed, since readers rarely tell the line."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laktory.engines.batches import batches
from laktory.engines.json_text import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

__all__ = ["Dialect", "broken_csv_line", "broken_json_line", "broken_text_line", "first_json_line"]

_MAX_LINES = 5_000_000
_MAX_OPEN = 1_000
_UNREADABLE = (OSError, EOFError, zlib.error)


def broken_json_line(files: Sequence[str], value: tuple[str | None, str, str] | None = None) -> str | None:
    """``'file' line 3: …`` for the first line that is no JSON object, or None. Looks at five million lines at most.

    Parameters
    ----------
    value : column, text that is none of its type, and what to say of it
    """
    if (place := first_json_line(files, _json_fault)) or value is None:
        return place
    column, text, said = value
    parts = [json.dumps(text, ensure_ascii=False), *re.split(r"[.\[\]]+", column or "")]
    return first_json_line(files, lambda line: said if all(part in line for part in parts) else None)


def broken_text_line(files: Sequence[str]) -> str | None:
    """``'file' line 3: …`` for the first line that is no UTF-8, or None. Looks at five million lines at most."""
    return first_json_line(files, lambda _: None)


def first_json_line(files: Sequence[str], fault: Callable[[str], str | None]) -> str | None:
    """``'file' line 3: …`` for the first line with a fault, or None. Looks at five million lines at most."""

    def first(lines: Iterator[str]) -> tuple[int, str] | None:
        for number, line in enumerate(lines, 1):
            if line.strip() and (found := fault(line)):
                return number, found
        return None

    return _first(files, first)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV file is written."""

    separator: str = ","
    quote: str | None = '"'
    comment: str | None = None
    skip: int = 0
    has_header: bool = True

    @classmethod
    def of(cls, kwargs: Mapping[str, Any], *, has_header: bool = True) -> Dialect:
        """What the options of any engine's reader say."""

        def option(*names: str, default: Any = None) -> Any:
            return next((kwargs[name] for name in names if name in kwargs), default)

        return cls(
            option("separator", "delim", "sep", "delimiter", default=","),
            option("quote_char", "quote", default='"') or None,
            option("comment_prefix", "comment") or None,
            int(option("skip_lines", "skip_rows", "skip", default=0)),
            bool(option("has_header", "header", default=has_header)),
        )


def broken_csv_line(
    files: Sequence[str], dialect: Dialect, value: tuple[str | None, str, str] | None = None
) -> str | None:
    """``'file' line 3: …`` for what a CSV reader does not take, or None.

    That is the first record with more values than the first one of its file, or with quotes that do not fit.

    Parameters
    ----------
    value : column, text that is none of its type, and what to say of it
    """

    def first(lines: Iterator[str]) -> tuple[int, str] | None:
        header: list[str] | None = None
        for number, record, closed in _records(lines, dialect):
            fields, fault = _fields(record, dialect, closed=closed)
            if fault:
                return number, fault
            if header is None:
                header = fields
                if dialect.has_header:
                    continue
            if len(fields) > max(1, len(header)):
                return number, f"{len(fields)} values, expected {max(1, len(header))}"
            if value is not None and _holds(fields, header, value):
                return number, value[2]
        return None

    return _first(files, first)


def _first(files: Sequence[str], find: Callable[[Iterator[str]], tuple[int, str] | None]) -> str | None:
    left = _MAX_LINES
    for file in files:
        number = 0

        def counted(lines: Iterable[bytes]) -> Iterator[str]:
            nonlocal number, left
            for number, line in enumerate(lines, 1):  # noqa: B007 - told where it breaks off
                left -= 1
                yield line.decode("utf-8")

        try:
            with closing(_lines(file)) as lines:
                if found := find(counted(islice(lines, left))):
                    return f"{file!r} line {found[0]}: {found[1]}"
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            return f"{file!r} line {number}: not UTF-8 text, byte 0x{byte:02x} at column {error.start + 1}"
        except _UNREADABLE:
            return None
    return None


def _records(lines: Iterator[str], dialect: Dialect) -> Iterator[tuple[int, str, bool]]:
    """Number of its first line, text, and whether all quotes are closed, of each record that is not blank."""
    parts: list[str] = []
    start, is_open = 0, False
    for number, line in enumerate(lines, 1):
        if not is_open:
            if number <= dialect.skip or not line.strip() or (dialect.comment and line.startswith(dialect.comment)):
                continue
            start, parts = number, []
        if len(parts) < _MAX_OPEN:
            parts.append(line)
        is_open ^= bool(dialect.quote and line.count(dialect.quote) % 2)
        if not is_open:
            yield start, "".join(parts).rstrip("\r\n"), True
    if is_open:
        yield start, "".join(parts).rstrip("\r\n"), False


def _fields(record: str, dialect: Dialect, *, closed: bool) -> tuple[list[str], str | None]:
    """Values of a record, and what is wrong with its quotes."""
    separator, quote = re.escape(dialect.separator), dialect.quote
    if quote is None:
        return record.split(dialect.separator), None
    q = re.escape(quote)
    quoted = re.compile(f"{q}((?:[^{q}]|{q}{q})*){q}")
    plain = re.compile(f"[^{separator}\n]*" if closed and "\n" not in record else f"[^{separator}{q}\n]*")
    fields: list[str] = []
    position = 0
    while True:
        found = quoted.match(record, position) if record.startswith(quote, position) else None
        if found is None and record.startswith(quote, position):
            return fields, f"the quote before value {len(fields) + 1} is not closed"
        if found is None:
            found = plain.match(record, position)
            assert found is not None
            fields.append(found[0])
        else:
            fields.append(found[1].replace(quote * 2, quote))
        position = found.end()
        if position == len(record):
            return fields, None
        if not record.startswith(dialect.separator, position):
            inside = f"value {len(fields)} has a quote inside"
            return fields, f"{inside}; put all of it in quotes, and double those inside"
        position += len(dialect.separator)


def _holds(fields: Sequence[str], header: Sequence[str], value: tuple[str | None, str, str]) -> bool:
    column, text, _ = value
    if column is not None and column in header:
        place = header.index(column)
        return place < len(fields) and fields[place] == text
    return text in fields


def _json_fault(line: str) -> str | None:
    if line.startswith("\ufeff"):
        return "starts with a byte order mark; save the file as UTF-8 without it"
    try:
        value = parse(line)
    except json.JSONDecodeError as error:
        hint = "; a file that is one JSON document has the format JSON" if line.strip() in {"[", "{"} else ""
        return f"not valid JSON, {error.msg.removesuffix(' at')} at column {error.colno}{hint}"
    except RecursionError:
        return "is nested too deeply"
    except ValueError as error:
        return str(error)
    if not isinstance(value, dict):
        what = {list: "a list", str: "text", type(None): "null"}.get(type(value), "a number or boolean")
        return f"an object is expected on each line, found {what}"
    return None


def _lines(file: str) -> Generator[bytes]:
    import polars as pl

    if Path(file).suffix == ".zst":
        try:
            for batch in batches(pl.scan_lines([file], glob=False), 10_000):
                yield from (line.encode() + b"\n" for line in batch.to_series())
        except pl.exceptions.PolarsError as error:
            raise OSError from error
        return
    with gzip.open(file, "rb") if Path(file).suffix == ".gz" else Path(file).open("rb") as opened:
        yield from opened
