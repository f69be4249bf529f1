"""Eight branches over five million rows: side by side, against one after another.

Side by side, branches may never be slower than one after another, nor take much more memory: 1.3
times. "One after another" is the same pipeline whose branches wait for each other (`depends_on`).

    python benchmarks/branches.py [--rows 5000000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import tempfile
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import Any

from measure import DATA, alternate, did_step, own_process, process, ratio, table

WALL, PROCESSOR, PEAK = attrgetter("seconds"), attrgetter("processor"), attrgetter("peak")
BRANCHES = 8
ENGINES = ("POLARS", "DUCKDB")
WAYS = ("side by side", "one after another")


def generate(path: Path, rows: int) -> None:
    """Five columns of random values."""
    import polars as pl

    index = pl.int_range(rows)
    frame = pl.LazyFrame().select(
        id=index,
        k=(index.hash(1) % 1000).cast(pl.Int64),
        g=(index.hash(2) % (rows // 10)).cast(pl.Int64),
        x=(index.hash(3) % 1_000_003) / 1_000_003,
        t=pl.format("{}", index.hash(4)),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.sink_parquet(path)


def work(engine: str, way: str, path: str) -> None:
    """The pipeline, in a process of its own."""
    from laktory import models

    nodes: list[dict[str, Any]] = [{"name": "rows", "source": {"path": path, "format": "PARQUET"}}]
    for number in range(BRANCHES):
        step = f"SELECT k, COUNT(*) AS n, SUM(x) AS x, MIN(t) AS t FROM {{df}} WHERE g % {number + 2} = 0 GROUP BY k"
        if number % 2:
            step = f"SELECT id, UPPER(t) AS t, x * {number} AS x FROM {{df}} WHERE g % {number + 2} = 0"
        node: dict[str, Any] = {
            "name": f"b{number}",
            "source": {"node_name": "rows"},
            "transformer": {"nodes": [{"expr": step}]},
            "sinks": [{"path": f"b{number}.parquet", "format": "PARQUET"}],
        }
        if way == "one after another" and number:
            node["depends_on"] = [f"b{number - 1}"]
        nodes.append(node)
    models.Pipeline(name="branches", dataframe_backend=engine, nodes=nodes).execute()


def main() -> None:
    """Measure and print."""
    if did_step({"work": work, "generate": lambda path, rows: generate(Path(path), int(rows))}):
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    path = DATA / f"branches-{options.rows}.parquet"
    if not path.exists():
        process(own_process("generate", path, options.rows))
    with tempfile.TemporaryDirectory(dir=DATA) as folder:
        runs = {
            (engine, way): lambda engine=engine, way=way: process(own_process("work", engine, way, path), cwd=folder)
            for engine in ENGINES
            for way in WAYS
        }
        found = alternate(options.rounds, runs)
    lines = []
    for engine in ENGINES:
        ours = found[engine, WAYS[0]]
        for way in WAYS:
            many = found[engine, way]
            ratios = [
                f"{ratio([m(one) for one in ours], [m(one) for one in many]):.2f}" for m in (WALL, PROCESSOR, PEAK)
            ]
            lines.append(
                [
                    f"{engine}, {way}",
                    f"{median(one.seconds for one in many):.2f} s",
                    f"{median(one.processor for one in many):.2f} s",
                    f"{median(one.peak for one in many) / 1e6:.0f} MB",
                    *(["", "", ""] if many is ours else ratios),
                ]
            )
    headers = ["", "wall", "processor", "peak", "side by side: wall ÷ this", "processor ÷ this", "peak ÷ this"]
    table(f"{BRANCHES} branches over {options.rows:,} rows, {options.rounds} rounds", headers, lines)


if __name__ == "__main__":
    main()
