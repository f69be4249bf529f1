"""Writes the tables of sql-expressions.md from the list that the tests run: ``python docs/sql_expressions.py``."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).parent / "sql-expressions.md"
LIST = ROOT / "src" / "laktory" / "testing" / "data" / "sql_constructs.yaml"
MARK = "<!-- written by docs/sql_expressions.py: run `make docs` -->"


def tables() -> str:
    """The frame, then one table per group: an expression down, its value in each row across."""
    frame, groups = yaml.safe_load(LIST.read_text(encoding="utf-8")).values()
    rows = len(frame["id"])
    columns = [[_code(name), *map(_shown, values)] for name, values in frame.items() if name != "id"]
    parts = ["## The frame", _table(["`id`", *map(str, frame["id"])], columns)]
    for group in groups:
        per_row = isinstance(group["constructs"][0][1], list)
        head = [*(f"row {place}" for place in frame["id"])] if per_row else ["value"]
        body = [
            [_code(text), *map(_shown, value if per_row else [value]), dtype, *(remark or [""])]
            for text, value, dtype, *remark in group["constructs"]
        ]
        assert not per_row or all(len(line) == rows + 3 for line in body)
        parts += [f"## {group['group']}", *([group["note"]] if "note" in group else [])]
        parts.append(_table(["expression", *head, "type", ""], body))
    return "\n\n".join(parts)


def page(text: str) -> str:
    """The page with its tables written anew."""
    return f"{text.partition(MARK)[0]}{MARK}\n\n{tables()}\n"


def _table(head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


def _code(text: str) -> str:
    """A code span in a table."""
    fence = "``" if "`" in text else "`"
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}".replace("|", r"\|")


def _shown(value: Any) -> str:
    return "NULL" if value is None else _code(_spelled(value))


def _spelled(value: Any) -> str:
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else str(value)
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    if isinstance(value, list):
        return f"[{', '.join(map(_spelled, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_spelled(part)}' for name, part in value.items())}}}"
    return "NULL" if value is None else str(value)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
