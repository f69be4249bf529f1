"""Where text files are broken: looked up after a reader failed, since readers rarely tell the line."""

from __future__ import annotations

import csv
import gzip
import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from laktory.engines.json_text import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["broken_json_line", "first_json_line", "ragged_csv_line"]

_MAX_LINES = 5_000_000


def broken_json_line(files: Sequence[str]) -> str | None:
    """``'file' line 3: …`` for the first line that is no JSON object, or None. Looks at five million lines at most."""
    return first_json_line(files, _fault)


def first_json_line(files: Sequence[str], fault: Callable[[str], str | None]) -> str | None:
    """``'file' line 3: …`` for the first line with a fault, or None. Looks at five million lines at most."""
    left = _MAX_LINES
    for file in files:
        try:
            with _open(file) as lines:
                for number, line in enumerate(islice(lines, left), 1):
                    left -= 1
                    if line.strip() and (found := fault(line)):
                        return f"{file!r} line {number}: {found}"
        except UnicodeDecodeError:
            return f"{file!r} is not UTF-8 text"
        except OSError:
            return None
    return None


def ragged_csv_line(files: Sequence[str], separator: str = ",", quote: str | None = '"') -> str | None:
    """``'file' line 3: …`` for the first record with more values than the first one of its file, or None."""
    left = _MAX_LINES
    for file in files:
        try:
            with _open(file) as lines:
                records = csv.reader(
                    lines,
                    delimiter=separator,
                    quotechar=quote or None,
                    quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
                )
                width = len(next(records, ()))
                for record in islice(records, left):
                    left -= 1
                    if len(record) > width:
                        return f"{file!r} line {records.line_num}: {len(record)} values, expected {width}"
        except UnicodeDecodeError:
            return f"{file!r} is not UTF-8 text"
        except (OSError, csv.Error):
            return None
    return None


def _fault(line: str) -> str | None:
    if line.startswith("\ufeff"):
        return "starts with a byte order mark; save the file as UTF-8 without it"
    try:
        value = parse(line)
    except json.JSONDecodeError as error:
        hint = "; a file that is one JSON document has the format JSON" if line.strip() in {"[", "{"} else ""
        return f"not valid JSON, {error.msg} at column {error.colno}{hint}"
    except RecursionError:
        return "is nested too deeply"
    except ValueError as error:
        return str(error)
    if not isinstance(value, dict):
        what = {list: "a list", str: "text", type(None): "null"}.get(type(value), "a number or boolean")
        return f"an object is expected on each line, found {what}"
    return None


def _open(file: str) -> TextIO:
    if Path(file).suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8", newline="\n")
    if Path(file).suffix == ".zst":
        raise OSError
    return Path(file).open(encoding="utf-8", newline="\n")
