"""JSON that readers would take one way here and another there: refused with its place, or read the same everywhere."""

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import narwhals as nw
import polars as pl
import pytest
from building import files_at, node, pipeline, rows_of
from test_formats import put, read, refused, write

from laktory.errors import SinkError, SourceError

MANY = '{"a": 1}\n' * 3000


def lines_of(kind, text):
    lines = [line for line in text.splitlines() if line]
    return f"[{','.join(lines)}]" if kind == "JSON" else text


@pytest.mark.parametrize("kind", ["JSON", "JSONL"])
@pytest.mark.parametrize(
    ("text", "dtype", "values"),
    [
        ('{}\n{"a": "x"}', pl.String, [None, "x"]),
        ('{}\n{"a": {"b": 1}}', pl.Struct({"b": pl.Int64}), [None, {"b": 1}]),
        ('{}\n{"a": 7}\n{"a": null}', pl.Int64, [None, 7, None]),
    ],
)
def test_one_column_whose_first_line_is_empty(session, kind, text, dtype, values):
    put("in", lines_of(kind, text))
    back = read(session, "in", kind)
    assert back["a"].dtype == dtype
    assert back["a"].to_list() == values


@pytest.mark.parametrize("schema", [None, nw.Schema({"a": nw.Int64()}), nw.Schema({"a": nw.String()})])
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"a": 1, "a": 2}', "'a' occurs twice"),
        ('{"a": 1, "b": {"c": 1, "c": 1}}', "'c' occurs twice"),
        ('{"a": 1, "\\u0061": 2}', "'a' occurs twice"),
        ('{"a": "ab\\ud83dcd"}', "ud83d"),
        ('{"a": 1, "\\udc00": 2}', "udc00"),
        ('{"a": 1e400}', "1e400"),
        ('{"a": -1e400}', "-1e400"),
        ('{"a": NaN}', "NaN"),
        ('{"a": ' + "9" * 60 + "}", "60 digits"),
        ('{"a": ' + "9" * 39 + "}", "39 digits"),
        ('{"a": ' + "9" * 5000 + "}", "5000 digits"),
        ('{"a": 2,}', "line 3001"),
        ('{"a": 2, "b": [1,]}', "line 3001"),
        ("null", "null"),
    ],
)
def test_lines_that_are_refused(session, schema, line, said):
    put("in.jsonl", MANY + line + "\n")
    message = refused(session, "in.jsonl", "JSONL", schema=schema)
    assert message.startswith("'in.jsonl' line 3001: ")
    assert said in message


@pytest.mark.parametrize("line", ['{"a": 1, "a": 2}', '{"a": "ab\\ud83dcd"}', '{"a": 1e400}', '{"a": NaN}'])
@pytest.mark.parametrize("schema", [None, nw.Schema({"a": nw.String()})])
def test_documents_that_are_refused(session, line, schema):
    put("in.json", '[\n{"a": 1},\n' + line + "\n]")
    message = refused(session, "in.json", "JSON", schema=schema)
    assert message.startswith("'in.json' line 3: ")


def test_keys_in_any_order(session):
    rows = [f'{{"{a}": 1, "{b}": 2, "{c}": 3}}' for a in "xyz" for b in "xyz" for c in "xyz" if len({a, b, c}) == 3]
    put("in.jsonl", "\n".join(rows * 700))
    back = read(session, "in.jsonl", "JSONL")
    assert back.columns == ["x", "y", "z"]
    assert back.sum().rows() == [(8400, 8400, 8400)]
    put("in.jsonl", "\n".join(rows * 700) + '\n{"z": 1, "y": 1, "z": 2}\n')
    assert "line 4201" in refused(session, "in.jsonl", "JSONL")


@pytest.mark.parametrize("kind", ["JSON", "JSONL"])
def test_large_integers_keep_all_digits(session, kind):
    put("in", lines_of(kind, f'{{"a": {2**63}}}\n{{"a": -{"9" * 38}}}\n{{"a": 1}}'))
    back = read(session, "in", kind)
    assert back["a"].dtype == pl.Decimal(38, 0)
    assert back["a"].to_list() == [Decimal(2**63), Decimal("-" + "9" * 38), Decimal(1)]


@pytest.mark.parametrize("kind", ["JSON", "JSONL"])
@pytest.mark.parametrize("wide", ["9007199254740993", "-9223372036854775808", "18446744073709551616"])
@pytest.mark.parametrize("first", [True, False])
def test_integers_that_fractions_would_round(session, kind, wide, first):
    lines = [f'{{"a": {wide}}}', '{"a": 1.5}']
    put("in", lines_of(kind, "\n".join(lines if first else lines[::-1])))
    message = refused(session, "in", kind)
    assert message.startswith("'in' ")
    assert "column 'a'" in message
    assert wide in message


@pytest.mark.parametrize("kind", ["JSON", "JSONL"])
@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ('"12"', nw.Int64()),
        ("1.5", nw.Int64()),
        ("true", nw.Int64()),
        ('"1.5"', nw.Float64()),
        ("1", nw.Boolean()),
        ("20240101", nw.Date()),
        ("7", nw.Datetime()),
        ("7", nw.Struct({"x": nw.Int64()})),
        ("7", nw.List(nw.Int64())),
        ('[{"x": "7"}]', nw.List(nw.Struct({"x": nw.Int64()}))),
    ],
)
def test_values_of_another_type_than_declared(session, kind, value, dtype):
    put("in", lines_of(kind, f'{{"b": 1}}\n{{"a": {value}}}'))
    message = refused(session, "in", kind, schema=nw.Schema({"a": dtype}))
    assert message.startswith("'in' line 2: " if kind == "JSONL" else "'in' element 2: ")
    assert "column 'a" in message
    assert "'schema' declares" in message


@pytest.mark.parametrize("kind", ["JSON", "JSONL"])
@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2024-01-01T10:00:00+02:00", 8),
        ("2024-01-01T10:00:00Z", 10),
        ("2024-01-01 10:00:00", 10),
        ("2024-01-01T10:00", 10),
        ("2024-01-01T10:00:00-0130", 11.5),
    ],
)
@pytest.mark.parametrize("dtype", [nw.Datetime("us"), nw.Datetime("ns"), nw.Datetime("us", "UTC")])
def test_declared_datetimes_are_utc(session, kind, text, hour, dtype):
    put("in", lines_of(kind, f'{{"a": "{text}"}}'))
    [value] = read(session, "in", kind, schema=nw.Schema({"a": dtype}))["a"].to_list()
    assert value.replace(tzinfo=None) == dt.datetime(2024, 1, 1) + dt.timedelta(hours=hour)  # noqa: DTZ001


def test_declared_milliseconds_are_cut(session):
    moments = [dt.datetime(2024, 1, 1, 0, 0, 0, 1999), dt.datetime(1969, 12, 31, 23, 59, 59, 999_999)]  # noqa: DTZ001
    pl.DataFrame({"a": moments}).write_parquet("in.parquet")
    put("in.jsonl", "".join(f'{{"a": "{moment}"}}\n' for moment in moments))
    for path, kind in (("in.parquet", "PARQUET"), ("in.jsonl", "JSONL")):
        back = read(session, path, kind, schema=nw.Schema({"a": nw.Datetime("ms")}))
        assert [value.microsecond for value in back["a"].to_list()] == [1000, 999_000]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("CSV", "m\n2.5\n2.345\n"),
        ("JSONL", '{"m": 2.5}\n{"m": 2.345}\n'),
        ("JSONL", '{"m": 2.5}\n{"m": "2.345"}\n'),
        ("JSON", '[{"m": 2.5}, {"m": 2.345}]'),
    ],
)
def test_decimals_that_would_lose_digits(session, kind, text):
    put("in", text)
    message = refused(session, "in", kind, schema=nw.Schema({"m": nw.Decimal(10, 2)}))
    assert "'m'" in message
    assert "2.345" in message
    put("in", text.replace("2.345", "2.3400"))
    back = read(session, "in", kind, schema=nw.Schema({"m": nw.Decimal(10, 2)}))
    assert back["m"].to_list() == [Decimal("2.50"), Decimal("2.34")]


# --- what is written -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JSON", "JSONL"])
def test_whole_decimals_are_numbers(session, kind):
    frame = pl.DataFrame(
        {
            "a": pl.Series(["9" * 38, None, "7"]).cast(pl.Decimal(38, 0)),
            "m": pl.Series(["1.50", None, "2"]).cast(pl.Decimal(10, 2)),
            "s": pl.Series([{"l": [5]}] * 3, dtype=pl.Struct({"l": pl.List(pl.Decimal(20, 0))})),
        }
    )
    write(session, frame, "out", kind)
    rows = [json.loads(line) for line in Path("out").read_text().splitlines()] if kind == "JSONL" else []
    rows = rows or json.loads(Path("out").read_text())
    assert rows[0] == {"a": 10**38 - 1, "m": "1.50", "s": {"l": [5]}}
    assert [row["a"] for row in rows] == [10**38 - 1, None, 7]
    schema = nw.from_native(frame).schema
    assert read(session, "out", kind, schema=schema).rows() == frame.rows()


@pytest.mark.parametrize("kind", ["CSV", "JSON", "JSONL"])
def test_columns_of_nulls(session, kind):
    frame = pl.DataFrame({"a": [1, 2], "nothing": [None, None]})
    write(session, frame, "out", kind)
    assert read(session, "out", kind, infer_schema=True).rows() == frame.rows()
    told = read(session, "out", kind, schema=session.schema(session.adopt(frame)))
    assert told.rows() == frame.rows()


@pytest.mark.parametrize("kind", ["JSON", "JSONL", "CSV"])
def test_durations_have_no_text(session, kind):
    refusal = SourceError if "Duration" in session.capabilities.unheld else SinkError
    with pytest.raises(refusal, match="column 'd'"):
        write(session, pl.DataFrame({"d": [dt.timedelta(days=1)]}), "out", kind)


def test_appended_nulls_are_read_back(backend):
    pl.DataFrame({"a": [1], "n": ["x"]}).write_parquet("1.parquet")
    pl.DataFrame({"a": [2], "n": [None]}).write_parquet("2.parquet")
    for path in ("1.parquet", "2.parquet"):
        sink = {"path": "out.jsonl", "format": "JSONL", "mode": "APPEND"}
        made = pipeline(backend, node("n", path, sink))
        made.execute()
    assert rows_of(made.nodes[0].output_df, "a") == [{"a": 2, "n": None}]
    text = "".join(file.read_text() for file in files_at("out.jsonl"))
    assert text == '{"a":1,"n":"x"}\n{"a":2,"n":null}\n'
