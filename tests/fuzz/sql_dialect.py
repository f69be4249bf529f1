"""Well-typed SQL expressions of everything the documents list: only their text. Engines have to agree on it."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from hypothesis import strategies as st

SCHEMA = {
    "n": pl.Int64,
    "i": pl.Int64,
    "j": pl.Int16,
    "w": pl.UInt64,
    "f": pl.Float64,
    "g": pl.Float32,
    "s": pl.String,
    "v": pl.String,
    "b": pl.Boolean,
    "d": pl.Date,
    "t": pl.Datetime("us"),
    "m": pl.Decimal(12, 2),
    "l": pl.List(pl.Int64),
    "c": pl.Categorical,
}
_DAYS = st.dates(dt.date(1900, 1, 1), dt.date(2100, 12, 31)) | st.sampled_from(
    [
        dt.date(1000, 1, 1),
        dt.date(9000, 12, 31),
        dt.date(1969, 12, 31),
        dt.date(2024, 2, 29),
        dt.date(2021, 1, 3),
        dt.date(1582, 10, 10),
    ]
)
_MOMENTS = st.datetimes(
    dt.datetime.fromisoformat("1900-01-01T00:00:00"), dt.datetime.fromisoformat("2100-01-01T00:00:00")
) | st.sampled_from(
    [
        dt.datetime.fromisoformat("1969-12-31T23:59:59.999999"),
        dt.datetime.fromisoformat("2024-02-29T13:05:00"),
        dt.datetime.fromisoformat("9000-12-31T23:59:59"),
    ]
)
_FLOATS = (
    st.floats(width=64)
    | st.integers(-40, 40).map(lambda number: number / 4)
    | st.sampled_from([1e16, 1e-5, -0.0, 0.1, 2.5])
)
_TEXTS = st.text("aAbBéßİ世 %_.'\\1\n", max_size=6) | st.sampled_from(
    [
        "12",
        "-3",
        " 7 ",
        "1.5",
        "1e3",
        "0x1F",
        "",
        "nan",
        "true",
        "TRUE",
        "t",
        "2024-02-29",
        "2024-1-5",
        "2024-02-29 13:05:00",
        "13:05",
        "+5",
        "1_000",
    ]
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "i": st.none() | st.integers(-9, 9) | st.sampled_from([2**63 - 1, -(2**63), 2**53 + 1, 2**31]),
            "j": st.none() | st.integers(-3, 3) | st.sampled_from([32767, -32768]),
            "w": st.none() | st.integers(0, 9) | st.just(2**64 - 1),
            "f": st.none() | _FLOATS,
            "g": st.none() | st.floats(width=32) | st.integers(-9, 9).map(float),
            "s": st.none() | _TEXTS,
            "v": st.none() | st.sampled_from(["a", "b", "a,b", ""]),
            "b": st.none() | st.booleans(),
            "d": st.none() | _DAYS,
            "t": st.none() | _MOMENTS,
            "m": st.none() | st.integers(-10_000, 10_000).map(lambda number: Decimal(number) / 100),
            "l": st.none() | st.lists(st.none() | st.integers(-9, 9), max_size=3),
            "c": st.none() | st.sampled_from(["z", "a", "é"]),
        }
    ),
    min_size=1,
    max_size=5,
)

TEMPLATES: dict[str, list[str]] = yaml.safe_load(Path(__file__).with_name("sql_templates.yaml").read_text("utf-8"))
_UNITS = ["day", "week", "month", "quarter", "year", "hour", "minute", "second"]
_HOLE = re.compile(r"(?<![\w'\\])[IFNTBDM](?![\w(])|(?<=')U(?=')")


def filled(draw: Any, kind: str, depth: int) -> str:
    columns = [item for item in TEMPLATES[kind] if item in SCHEMA]
    if depth == 0:
        plain = [item for item in TEMPLATES[kind] if not _HOLE.search(item)] + columns * 4
    else:
        plain = TEMPLATES[kind]
    if kind == "T" and depth:
        depth -= 1

    def hole(match: re.Match[str]) -> str:
        return draw(st.sampled_from(_UNITS)) if match[0] == "U" else filled(draw, match[0], max(depth - 1, 0))

    return _HOLE.sub(hole, draw(st.sampled_from(plain)))


@st.composite
def texts(draw: Any, kinds: str = "IFNTBDM", deepest: int = 2) -> str:
    return filled(draw, draw(st.sampled_from(kinds)), draw(st.integers(1, deepest)))
