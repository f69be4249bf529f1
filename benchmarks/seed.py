"""The pipeline of the README against the same work by hand, in Polars and in DuckDB.

Each run is a process of its own, imports included; runs take turns. By hand, bronze is written first and
silver reads it, as the pipeline does. Two hands are shown, because the short way loses data: it looks at the
first rows only (Polars: 100 of the first file; DuckDB: a sample), and drops what comes later. Laktory looks at
every row of every file, as does the other hand. All compress alike (zstd). Neither hand syncs to disk, stages or
locks. Few events show what starting costs, many what a row costs.

    python benchmarks/seed.py [--events 10000 2000000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from datetime import datetime, timedelta
from operator import attrgetter
from pathlib import Path
from statistics import median

from measure import DATA, alternate, did_step, own_process, process, ratio, table

WALL, PROCESSOR, PEAK = attrgetter("seconds"), attrgetter("processor"), attrgetter("peak")

PIPELINE = Path(__file__).parent.parent / "examples" / "stock_prices" / "pipeline.yaml"
SOURCE, BRONZE, SILVER = "data/stock_prices", "data/brz_stock_prices.parquet", "data/slv_stock_prices.parquet"
FILES = 8
REPEAT = 50
START = datetime(2024, 1, 1)  # noqa: DTZ001 - the seed's times have no zone

COLUMNS = """
  CAST(data.created_at AS TIMESTAMP) AS created_at,
  data.symbol AS name,
  data.symbol AS symbol,
  data.open AS open,
  data.close AS close,
  data.high AS high,
  data.low AS low,
  data.volume AS volume
"""


def generate(folder: Path, events: int) -> None:
    """Write events of random prices, one in fifty repeated; the same for the same number."""
    if (folder / "complete").exists():
        return
    (folder / SOURCE).mkdir(parents=True, exist_ok=True)
    rng = random.Random(7)
    symbols = [f"S{number:03}" for number in range(500)]
    for number in range(FILES):
        with (folder / SOURCE / f"{number}.jsonl").open("w", encoding="utf-8") as out:
            for index in range(number, events, FILES):
                price = rng.uniform(5, 500)
                data = {
                    "created_at": (START + timedelta(minutes=index // len(symbols))).isoformat(),
                    "symbol": symbols[index % len(symbols)],
                    "open": round(price, 2),
                    "close": round(price * rng.uniform(0.95, 1.05), 2),
                    "high": round(price * 1.05, 2),
                    "low": round(price * 0.95, 2),
                    "volume": rng.randrange(1000, 10_000_000),
                }
                line = json.dumps({"data": data}) + "\n"
                out.write(line * 2 if index % REPEAT == 0 else line)
    (folder / "complete").touch()


def laktory(engine: str) -> None:
    """The pipeline as it is, on one engine."""
    from laktory import models

    text = PIPELINE.read_text(encoding="utf-8").replace("dataframe_backend: POLARS", f"dataframe_backend: {engine}")
    models.Pipeline.model_validate_yaml(text).execute()


def polars_by_hand(*, every_row: bool) -> None:
    """The same with Polars alone."""
    import polars as pl

    pl.scan_ndjson(f"{SOURCE}/", infer_schema_length=None if every_row else 100).sink_parquet(BRONZE)
    silver = pl.SQLContext(df=pl.scan_parquet(BRONZE)).execute(f"SELECT {COLUMNS} FROM df")
    silver.unique(subset=["symbol", "created_at"], keep="any").sink_parquet(SILVER)


def duckdb_by_hand(*, every_row: bool) -> None:
    """The same with DuckDB alone."""
    import duckdb

    con = duckdb.connect()
    sample = ", sample_size=-1" if every_row else ""
    read = f"FROM read_json('{SOURCE}/*.jsonl', format='newline_delimited'{sample})"
    con.execute(f"COPY ({read}) TO '{BRONZE}' (COMPRESSION zstd)")
    silver = f"SELECT DISTINCT ON (symbol, created_at) * FROM (SELECT {COLUMNS} FROM '{BRONZE}')"
    con.execute(f"COPY ({silver}) TO '{SILVER}' (COMPRESSION zstd)")


WORK = {
    "Polars, Laktory": lambda: laktory("POLARS"),
    "Polars, by hand": lambda: polars_by_hand(every_row=True),
    "Polars, by hand, first rows decide": lambda: polars_by_hand(every_row=False),
    "DuckDB, Laktory": lambda: laktory("DUCKDB"),
    "DuckDB, by hand": lambda: duckdb_by_hand(every_row=True),
    "DuckDB, by hand, first rows decide": lambda: duckdb_by_hand(every_row=False),
}


def main() -> None:
    """Compare for each number of events."""
    if did_step(WORK):
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, nargs="+", default=[10_000, 2_000_000])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for events in options.events:
        compare(events, options.rounds)


def compare(events: int, rounds: int) -> None:
    """Measure all of them on so many events and print a table."""
    import polars as pl

    folder = DATA / str(events)
    generate(folder, events)
    runs = {name: lambda name=name: process(own_process(name), cwd=folder) for name in WORK}
    rows = set()
    for run in runs.values():  # not measured: reads cold files, and shows that all do the same
        run()
        rows.add(pl.scan_parquet(folder / SILVER).select(pl.len()).collect().item())
    if len(rows) > 1:
        sys.exit(f"the runs do not agree on the rows of silver: {sorted(rows)}")
    found = alternate(rounds, runs)
    lines = []
    for name, many in found.items():
        ours = found[f"{name.split(',')[0]}, Laktory"]
        ratios = [
            f"{ratio([measure(one) for one in ours], [measure(one) for one in many]):.2f}"
            for measure in (WALL, PROCESSOR, PEAK)
        ]
        lines.append(
            [
                name,
                f"{median(one.seconds for one in many):.2f} s",
                f"{median(one.processor for one in many):.2f} s",
                f"{median(one.peak for one in many) / 1e6:.0f} MB",
                *(["", "", ""] if many is ours else ratios),
            ]
        )
    lines_in = events + -(-events // REPEAT)
    title = f"Seed pipeline, {lines_in:,} events → {rows.pop():,} rows, {rounds} rounds"
    table(title, ["", "wall", "processor", "peak", "Laktory's wall ÷ this", "processor ÷ this", "peak ÷ this"], lines)


if __name__ == "__main__":
    main()
