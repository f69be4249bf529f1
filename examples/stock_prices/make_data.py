"""Writes daily stock prices as JSONL events, one file per year, into ``data/stock_prices/``.

The prices (five tickers, 2000 to 2013) come with the package ``bokeh_sampledata``. Like a feed that
delivers at least once, each file begins with the last events of the year before, so some events are repeated.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
from collections import defaultdict
from pathlib import Path
from typing import TextIO

REPEATED = 25
TARGET = Path("data/stock_prices")


def sample_file() -> Path:
    """Find the prices in the installed package, without importing it (that would load pandas)."""
    spec = importlib.util.find_spec("bokeh_sampledata")
    if spec is None or spec.origin is None:
        raise SystemExit("the sample prices are missing; install them with: pip install bokeh_sampledata")
    return Path(spec.origin).parent / "_data" / "stocks.csv.gz"


def events(text: TextIO) -> dict[str, list[str]]:
    """Events of each year as lines of JSON, ordered by day and symbol."""
    years: defaultdict[str, list[str]] = defaultdict(list)
    for row in sorted(csv.DictReader(text), key=lambda row: (row["Date"], row["Ticker"])):
        data = {
            "created_at": f"{row['Date']}T00:00:00",
            "symbol": row["Ticker"],
            "open": float(row["Open"]),
            "close": float(row["Close"]),
            "high": float(row["High"]),
            "low": float(row["Low"]),
            "volume": int(row["Volume"]),
        }
        years[row["Date"][:4]].append(json.dumps({"data": data}))
    return years


def main() -> None:
    """Write the files anew."""
    with gzip.open(sample_file(), "rt", encoding="utf-8", newline="") as text:
        years = events(text)
    TARGET.mkdir(parents=True, exist_ok=True)
    before: list[str] = []
    repeated = 0
    for year, lines in sorted(years.items()):
        (TARGET / f"{year}.jsonl").write_text("".join(f"{line}\n" for line in [*before, *lines]), encoding="utf-8")
        repeated += len(before)
        before = lines[-REPEATED:]
    total = sum(map(len, years.values()))
    print(f"{total + repeated:,} events ({repeated} of them repeated) in {len(years)} files under {TARGET}/")


if __name__ == "__main__":
    main()
