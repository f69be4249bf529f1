"""TPC-H: 22 SQL nodes over eight Parquet sources in one pipeline, against the same SQL by hand.

At the scale 1 (6 million lines of orders) on Polars and DuckDB, at most 1.05 times the time in total. Either way the
result of each query is written to a Parquet file. Each run is a process of its own, in which a query of one row was run
before, so that what is imported and loaded once is not counted, either way. Results are compared with the published
answers.

    python benchmarks/tpch.py [--scale 1] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from measure import DATA, alternate, did_step, own_process, process, ratio, table

from laktory.testing import tpch

ENGINES = ("POLARS", "DUCKDB")


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


def hand(engine: str, folder: str) -> None:
    """The same in the words of an engine."""
    statements = {name: tpch.bare(text) for name, text in tpch.QUERIES.items()}
    if engine == "POLARS":
        import polars as pl

        pl.SQLContext({"df": pl.LazyFrame({"id": [1]})}).execute("SELECT id FROM df").sink_parquet("first.parquet")
        begin = time.perf_counter()
        tables = pl.SQLContext({name: pl.scan_parquet(f"{folder}/{name}.parquet") for name in tpch.TABLES})
        for name, statement in statements.items():
            tables.execute(statement, eager=False).sink_parquet(f"{name}.parquet")
    else:
        import duckdb

        duckdb.connect().execute("COPY (SELECT 1 AS id) TO 'first.parquet' (COMPRESSION zstd)")
        begin = time.perf_counter()
        con = duckdb.connect()
        for name in tpch.TABLES:
            con.execute(f"CREATE VIEW {name} AS FROM '{folder}/{name}.parquet'")
        for name, statement in statements.items():
            con.execute(f"COPY ({statement}) TO '{name}.parquet' (COMPRESSION zstd)")
    print(json.dumps(time.perf_counter() - begin))


def wrong(folder: Path, scale: float, data: Path) -> dict[str, str]:
    """What is not as published, by query."""
    import polars as pl

    found = {name: pl.read_parquet(folder / f"{name}.parquet") for name in tpch.QUERIES}
    if scale not in tpch.SCALES:
        return {}
    said = {name: tpch.difference(found[name], answer) for name, answer in tpch.answers(scale, data).items()}
    return {name: text for name, text in said.items() if text is not None}


def main() -> None:
    """Measure and print."""
    if did_step({"laktory": laktory, "hand": hand}):
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    data = DATA / f"tpch-{options.scale:g}"
    if not data.exists():
        tpch.generate(data, options.scale)
    ways = [(way, engine) for engine in ENGINES for way in ("laktory", "hand")]
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
    lines = [
        [
            engine,
            f"{min(seconds['laktory', engine]):.2f} s",
            f"{min(seconds['hand', engine]):.2f} s",
            f"{ratio(seconds['laktory', engine], seconds['hand', engine]):.2f}",
        ]
        for engine in ENGINES
    ]
    title = f"TPC-H at scale {options.scale:g}, 22 queries in total, {options.rounds} rounds; all answers as published"
    table(title, ["", "Laktory", "by hand", "÷ by hand"], lines)


if __name__ == "__main__":
    main()
