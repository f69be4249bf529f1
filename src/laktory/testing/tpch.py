"""TPC-H as one pipeline: eight Parquet sources, 22 SQL nodes, and the published answers.

The queries and their answers are those of DuckDB's ``tpch`` extension, the rows those of ``tpchgen-cli``, which follows
the reference generator. Addresses and comments are random text that the two draw differently, so these columns are
not compared, and Q13, which filters by a comment, is answered in plain Python.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["QUERIES", "SCALES", "TABLES", "answers", "bare", "difference", "generate", "queries", "sources"]

DATA = Path(__file__).parent / "data" / "tpch"
TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")
QUERIES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(DATA.glob("q*.sql"))}
SCALES = {0.01: "0.01", 1: "1"}
RANDOM = ("_address", "_comment")
TOLERANCE = 0.011
"""Answers have two digits after the point, and averages of decimals have other scales on each engine."""


def generate(folder: Path, scale: float) -> None:
    """Write the eight tables as Parquet files."""
    tool = Path(sys.executable).with_name("tpchgen-cli")
    subprocess.run([tool, "parquet", "-s", str(scale), "-o", str(folder)], check=True, capture_output=True)


def sources(folder: Path | str) -> list[dict[str, Any]]:
    """A node for each table."""
    return [{"name": name, "source": {"path": f"{folder}/{name}.parquet", "format": "PARQUET"}} for name in TABLES]


def queries() -> list[dict[str, Any]]:
    """A node for each query."""
    return [{"name": name, "transformer": {"nodes": [{"expr": text}]}} for name, text in QUERIES.items()]


def bare(text: str) -> str:
    """A query that names its tables as a database does."""
    return text.replace("{nodes.", "").replace("}", "")


def answers(scale: float, folder: Path) -> dict[str, list[list[str]]]:
    """Header and rows of each query, as text; those of Q13 for the data in the folder."""
    with gzip.open(DATA / f"answers-{SCALES[scale]}.json.gz", "rt", encoding="utf-8") as opened:
        found = json.load(opened)
    return {**found, "q13": _q13(folder)}


def _q13(folder: Path) -> list[list[str]]:
    """How many customers have how many orders that are not special requests."""
    orders = pl.read_parquet(folder / "orders.parquet", columns=["o_custkey", "o_comment"])
    special = re.compile("special.*requests")
    made = Counter(key for key, comment in orders.iter_rows() if not special.search(comment))
    customers = pl.read_parquet(folder / "customer.parquet", columns=["c_custkey"])["c_custkey"]
    found = Counter(made[key] for key in customers)
    rows = sorted(found.items(), key=lambda pair: (pair[1], pair[0]), reverse=True)
    return [["c_count", "custdist"], *([str(count), str(customers)] for count, customers in rows)]


def difference(found: pl.DataFrame, answer: Sequence[Sequence[str]]) -> str | None:
    """The first value in which a frame is not the answer, as text; None if there is none."""
    names, *rows = answer
    kept = [index for index, name in enumerate(names) if not name.endswith(RANDOM)]
    if len(found.columns) != len(names):  # engines name a sum without AS in their own way
        return f"columns {found.columns}, expected {names}"
    if found.height != len(rows):
        return f"{found.height} rows, expected {len(rows)}"
    for number, (row, expected) in enumerate(zip(found.rows(), rows, strict=True)):
        for index in kept:
            if not _is_same(row[index], expected[index]):
                return f"row {number}, {names[index]}: {row[index]!r}, expected {expected[index]!r}"
    return None


def _is_same(value: Any, text: str) -> bool:
    if value is None:
        return text in {"", "NULL"}
    try:
        return abs(float(value) - float(text)) <= TOLERANCE
    except (TypeError, ValueError):
        return str(value).strip() == text.strip()
