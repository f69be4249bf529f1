"""What rules cost: five of them with a quarantine over five million rows, against writing the same rows without rules.

At most 1.25 times the time on Polars, 1.4 times on DuckDB, and 1.4 times the memory, for rows that a file holds (file)
or that a cheap step makes of them (step). Rows of other steps (sort) are computed once, into an intermediate result,
before they are judged. What 200 rules add is told against what 20 add.

    python benchmarks/quality.py [--rows 5000000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from measure import DATA, Measured, alternate, did_step, own_process, process, ratio, table

ENGINES = ("POLARS", "DUCKDB")
RULES: list[dict[str, Any]] = [
    {"not_null": ["created_at", "symbol"], "action": "QUARANTINE"},
    {"name": "close_is_positive", "expr": "close > 1", "action": "QUARANTINE"},
    {"name": "open_is_low", "expr": "open < 99.5", "action": "WARN"},
    {"accepted_values": {"column": "symbol", "values": ["AAPL", "MSFT", "GOOG", "AMZN"]}, "action": "QUARANTINE"},
    {"name": "is_traded", "expr": "volume >= 10", "action": "DROP"},
]
STEPS = {
    "file": [],
    "step": [{"expr": "SELECT * EXCLUDE (volume), volume * 2 AS volume FROM {df} WHERE volume >= 0"}],
    "sort": [{"expr": "SELECT * FROM {df} ORDER BY close"}],
}


def generate(path: Path, rows: int) -> None:
    """Prices with the columns of the seed; of some rows a value is missing or out of range."""
    import polars as pl

    index = pl.int_range(rows)
    symbol = pl.lit(pl.Series(["AAPL", "MSFT", "GOOG", "AMZN"])).gather(index.hash(1) % 4)

    def price(seed: int) -> pl.Expr:
        return (index.hash(seed) % 1_000_000) / 10_000

    frame = pl.LazyFrame().select(
        created_at=pl.from_epoch(index, time_unit="s"),
        name=symbol,
        symbol=symbol,
        open=price(2),
        close=pl.when(index % 50 > 0).then(price(3)),
        high=price(4),
        low=price(5),
        volume=(index.hash(6) % 1_000_000).cast(pl.Int64),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.sink_parquet(path)


def work(engine: str, shape: str, kind: str, path: str) -> None:
    """In a process of its own: print the seconds of a run, after a small one.

    `kind`: ``bare``, ``rules``, or a number of rules.
    """
    import warnings

    from laktory import models

    warnings.simplefilter("ignore")
    rules = {"bare": [], "rules": RULES}.get(kind)
    if rules is None:
        rules = [{"name": f"r{number}", "expr": f"close > {number / 1000}"} for number in range(int(kind))]
    node: dict[str, Any] = {"name": "prices", "transformer": {"nodes": STEPS[shape]}, "expectations": rules}
    node["sinks"] = [{"path": "prices.parquet", "format": "PARQUET"}]
    if kind == "rules":
        node["sinks"].append({"path": "rejected.parquet", "format": "PARQUET", "is_quarantine": True, "details": True})
    if not STEPS[shape]:
        del node["transformer"]
    for source in (f"{path}.small", path):
        made = node | {"source": {"path": source, "format": "PARQUET"}}
        pipeline = models.Pipeline(name="quality", dataframe_backend=engine, nodes=[made])
        begin = time.perf_counter()
        pipeline.execute()
        seconds = time.perf_counter() - begin
    print(json.dumps(seconds))


def main() -> None:
    """Measure and print."""
    if did_step({"work": work, "generate": lambda path, rows: generate(Path(path), int(rows))}):
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    path = DATA / f"quality-{options.rows}.parquet"
    for place, rows in {path: options.rows, Path(f"{path}.small"): 1000}.items():
        if not place.exists():
            process(own_process("generate", place, rows))
    ways = [(engine, shape, kind) for engine in ENGINES for shape in STEPS for kind in ("bare", "rules")]
    ways += [(engine, "file", kind) for engine in ENGINES for kind in ("20", "200")]
    with tempfile.TemporaryDirectory(dir=DATA) as folder:
        found = alternate(
            options.rounds,
            {way: lambda way=way: process(own_process("work", *way, path), cwd=folder) for way in ways},
        )
    lines = []
    for engine, shape, kind in ways:
        these = found[engine, shape, kind]
        other = found[engine, shape, "20" if kind == "200" else "bare"]
        if kind == "200":
            bare = median(map(_seconds, found[engine, shape, "bare"]))
            compared = [f"{(_seconds_of(these) - bare) / (_seconds_of(other) - bare):.1f} of the rules", ""]
        elif kind == "rules":
            times = ratio([_seconds(one) for one in these], [_seconds(one) for one in other])
            compared = [f"{times:.2f}", f"{ratio([o.peak for o in these], [o.peak for o in other]):.2f}"]
        else:
            compared = ["", ""]
        peak = f"{median(one.peak for one in these) / 1e6:.0f} MB"
        lines.append([f"{engine}, {shape}, {kind}", f"{_seconds_of(these):.2f} s", peak, *compared])
    headers = ["", "run", "peak", "÷ bare", "peak ÷ bare"]
    table(f"Rules over {options.rows:,} rows, {options.rounds} rounds", headers, lines)


def _seconds(run: Measured) -> float:
    return float(json.loads(run.last_line))


def _seconds_of(runs: list[Measured]) -> float:
    return median(map(_seconds, runs))


if __name__ == "__main__":
    main()
