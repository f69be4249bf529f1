"""TPC-H: 22 SQL nodes over eight Parquet sources in one pipeline, against the same SQL by hand.

At the scale 1 (6 million lines of orders) on Polars and DuckDB, at most 1.05 times the time in total. Either way the
result of each query is written to a Parquet file. Each run is a process of its own, in which a query of one row was run
before, so that what is imported and loaded once is not counted, either way. Results are compared with the published
answers.

"With care" is what Laktory promises beside the rows, by hand: each statement is parsed before anything runs, DuckDB
binds it where it can open no file, the types of a result are known before it is written, and it is on disk, and named
in a ledger, when it appears in one step.

    python benchmarks/tpch.py [--scale 1] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import sqlglot
from measure import DATA, alternate, did_step, own_process, process, ratio, table

from laktory.testing import tpch

if TYPE_CHECKING:
    from collections.abc import Callable

ENGINES = ("POLARS", "DUCKDB")
WAYS = ("laktory", "hand", "care")
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def laktory(engine: str, folder: str) -> None:
    """In a process of its own: print the seconds of a run of the pipeline."""
    from laktory import models

    source, step = {"data": [{"id": 1}]}, {"nodes": [{"expr": "SELECT id FROM {df}"}]}
    first = {
        "name": "a",
        "source": source,
        "transformer": step,
        "sinks": [{"path": "first.parquet", "format": "PARQUET"}],
    }
    models.Pipeline(name="first", dataframe_backend=engine, nodes=[first]).execute()
    nodes = tpch.queries()
    for node in nodes:
        node["sinks"] = [{"path": f"{node['name']}.parquet", "format": "PARQUET"}]
    pipeline = models.Pipeline(name="tpch", dataframe_backend=engine, nodes=[*tpch.sources(folder), *nodes])
    begin = time.perf_counter()
    pipeline.execute()
    print(json.dumps(time.perf_counter() - begin))


def hand(engine: str, folder: str, *, care: bool = False) -> None:
    """The same in the words of an engine."""
    statements = {name: tpch.bare(text) for name, text in tpch.QUERIES.items()}
    sqlglot.parse("SELECT 1", read="duckdb")
    first, run = {"POLARS": (_polars_first, _polars), "DUCKDB": (_duckdb_first, _duckdb)}[engine]
    first()
    begin = time.perf_counter()
    for statement in statements.values() if care else ():
        sqlglot.parse(statement, read="duckdb")
    compute = run(folder, care=care)
    for name, statement in statements.items():
        compute(statement, f"{name}.staged" if care else f"{name}.parquet")
        if care:
            _commit(name)
    print(json.dumps(time.perf_counter() - begin))


def _polars_first() -> None:
    pl.SQLContext({"df": pl.LazyFrame({"id": [1]})}).execute("SELECT id FROM df").sink_parquet("first.parquet")


def _polars(folder: str, *, care: bool) -> Callable[[str, str], None]:
    tables = pl.SQLContext({name: pl.scan_parquet(f"{folder}/{name}.parquet") for name in tpch.TABLES})

    def compute(statement: str, path: str) -> None:
        frame = tables.execute(statement, eager=False)
        if care:
            frame.collect_schema()
        frame.sink_parquet(path)

    return compute


def _duckdb_first() -> None:
    duckdb.connect().execute("COPY (SELECT 1 AS id) TO 'first.parquet' (COMPRESSION zstd)")


def _duckdb(folder: str, *, care: bool) -> Callable[[str, str], None]:
    con = duckdb.connect()
    for name in tpch.TABLES:
        con.execute(f"CREATE VIEW {name} AS FROM '{folder}/{name}.parquet'")
    outside = duckdb.connect(config={"enable_external_access": "false"}) if care else None
    for name in tpch.TABLES if outside else ():
        table = con.view(name)
        columns = ", ".join(f"{column} {kind}" for column, kind in zip(table.columns, table.types, strict=True))
        outside.execute(f"CREATE TABLE {name} ({columns})")

    def compute(statement: str, path: str) -> None:
        if outside:
            outside.sql(statement)
            con.sql(statement)
        con.execute(f"COPY ({statement}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")

    return compute


def _commit(name: str) -> None:
    """Make a staged result visible, durably."""
    for path, flags, line in ((f"{name}.staged", os.O_RDONLY, b""), ("ledger", _APPEND, f"{name}\n".encode())):
        descriptor = os.open(path, flags)
        os.write(descriptor, line) if line else None
        os.fsync(descriptor)
        os.close(descriptor)
    Path(f"{name}.staged").rename(f"{name}.parquet")
    descriptor = os.open(".", os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def wrong(folder: Path, scale: float, data: Path) -> dict[str, str]:
    """What is not as published, by query."""
    found = {name: pl.read_parquet(folder / f"{name}.parquet") for name in tpch.QUERIES}
    if scale not in tpch.SCALES:
        return {}
    said = {name: tpch.difference(found[name], answer) for name, answer in tpch.answers(scale, data).items()}
    return {name: text for name, text in said.items() if text is not None}


def main() -> None:
    """Measure and print."""
    if did_step({"laktory": laktory, "hand": hand, "care": partial(hand, care=True)}):
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    data = DATA / f"tpch-{options.scale:g}"
    if not data.exists():
        tpch.generate(data, options.scale)
    ways = [(way, engine) for engine in ENGINES for way in WAYS]
    with tempfile.TemporaryDirectory(dir=DATA) as folder:
        places = {way: Path(folder, "-".join(way)) for way in ways}
        for place in places.values():
            place.mkdir()
        found = alternate(
            options.rounds,
            {way: lambda way=way: process(own_process(*way, data), cwd=places[way]) for way in ways},
        )
        for way, place in places.items():
            if faults := wrong(place, options.scale, data):
                sys.exit(f"{' '.join(way)}: {faults}")
    seconds = {way: [float(json.loads(run.last_line)) for run in runs] for way, runs in found.items()}
    lines = []
    for engine in ENGINES:
        ours, others = seconds["laktory", engine], [seconds[way, engine] for way in WAYS[1:]]
        shown = [f"{min(found):.2f} s" for found in (ours, *others)]
        lines.append([engine, *shown, *(f"{ratio(ours, found):.2f}" for found in others)])
    title = f"TPC-H at scale {options.scale:g}, 22 queries in total, {options.rounds} rounds; all answers as published"
    table(title, ["", "Laktory", "by hand", "with care", "÷ by hand", "÷ with care"], lines)


if __name__ == "__main__":
    main()
