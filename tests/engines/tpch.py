"""TPC-H as one pipeline: eight Parquet sources, 22 SQL nodes, and the published answers.

The queries and their answers are those of DuckDB's ``tpch`` extension, the rows those of ``tpchgen-cli``, which follows
the reference generator. Addresses and comments are random text that the two draw differently, so these columns are
not compared, and Q13, which filters by a comment, is answered by DuckDB by hand.
"""

import gzip
import json
import subprocess
import sys
from pathlib import Path

DATA = Path(__file__).parent / "data" / "tpch"
TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")
QUERIES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(DATA.glob("q*.sql"))}
SCALES = {0.01: "0.01", 1: "1"}
RANDOM = ("_address", "_comment")
TOLERANCE = 0.011
"""Answers have two digits after the point, and averages of decimals have other scales on each engine."""


def generate(folder, scale):
    tool = Path(sys.executable).with_name("tpchgen-cli")
    subprocess.run([tool, "parquet", "-s", str(scale), "-o", str(folder)], check=True, capture_output=True)


def sources(folder):
    return [{"name": name, "source": {"path": f"{folder}/{name}.parquet", "format": "PARQUET"}} for name in TABLES]


def queries(**more):
    return [{"name": name, "transformer": {"nodes": [{"expr": text}]}, **more} for name, text in QUERIES.items()]


def bare(text):
    """A query that names its tables as a database does."""
    return text.replace("{nodes.", "").replace("}", "")


def by_hand(name, folder):
    """A query on DuckDB without Laktory."""
    import duckdb

    with duckdb.connect() as con:
        for table in TABLES:
            con.execute(f"CREATE VIEW {table} AS FROM '{folder}/{table}.parquet'")
        return con.sql(bare(QUERIES[name])).pl()


def answers(scale, folder):
    """Header and rows of each query, as text; those of Q13 for the data in the folder."""
    with gzip.open(DATA / f"answers-{SCALES[scale]}.json.gz", "rt", encoding="utf-8") as opened:
        found = json.load(opened)
    q13 = by_hand("q13", folder)
    return {**found, "q13": [q13.columns, *([str(value) for value in row] for row in q13.rows())]}


def difference(found, answer):
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


def _is_same(value, text):
    if value is None:
        return text in {"", "NULL"}
    try:
        return abs(float(value) - float(text)) <= TOLERANCE
    except (TypeError, ValueError):
        return str(value).strip() == text.strip()
