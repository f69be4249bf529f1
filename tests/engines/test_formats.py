"""Every format on every engine: what is read, what is written, and what is said when neither can be done."""

import datetime as dt
import gzip
import json
from decimal import Decimal
from pathlib import Path

import narwhals as nw
import polars as pl
import pytest
from building import node, pipeline

from laktory.engines.capabilities import DUCKDB, POLARS
from laktory.engines.protocol import FileRead, Output
from laktory.errors import RunError, SinkError, SourceError

TEXT = ["plain", "", None, 'a "quoted", one', "two\nlines", "çé漢😀"]
PLAIN = pl.DataFrame(
    {"n": [1, 2, None, 4, 5, -6], "x": [1.5, None, 3.0, -0.25, 1e20, 6.0], "b": [True, False, None] * 2, "s": TEXT}
)
MAPS = pl.Series([{"k": 1}], dtype=pl.Map(pl.String, pl.Int64))
TYPED = PLAIN.with_columns(
    d=pl.Series([dt.date(2024, 2, 29), None] * 3),
    t=pl.Series([dt.datetime(2024, 2, 29, 12, 30, 1, 250), None] * 3),  # noqa: DTZ001 - without a zone on purpose
    z=pl.Series([dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.UTC), None] * 3).dt.convert_time_zone("UTC"),
    m=pl.Series([Decimal("12.50"), None] * 3, dtype=pl.Decimal(10, 2)),
    i=pl.Series([1, None] * 3, dtype=pl.Int16),
    l=pl.Series([[1, 2], None] * 3),
    r=pl.Series([{"a": 1, "b": "x"}, {"a": None, "b": None}] * 3),
)
WRITTEN = [name for name, support in POLARS.formats.items() if support.modes and name != "DELTA"]


def write(session, frame, path, kind, **options):
    (staged,) = session.stage([Output(session.adopt(frame), str(path), kind, **options)])
    return staged


def read(session, path, kind, **options):
    frame = session.collect(session.scan(FileRead(str(path), kind, **options)))
    return frame.collect("polars").to_native()


def put(path, text):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def refused(session, path, kind, **options):
    with pytest.raises(SourceError) as caught:
        read(session, path, kind, **options)
    return str(caught.value)


def test_engines_have_the_same_formats():
    assert list(POLARS.formats) == list(DUCKDB.formats)
    for name in POLARS.formats:
        assert POLARS.formats[name].modes == DUCKDB.formats[name].modes
        assert POLARS.formats[name].needs == DUCKDB.formats[name].needs


# --- every format there and back -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WRITTEN)
def test_what_is_written_is_read_back(session, kind):
    frame = PLAIN if kind != "EXCEL" else PLAIN.with_columns(pl.col("s").replace("", None))
    staged = write(session, frame, "out", kind)
    assert staged.rows == 6
    assert [Path(file) for file in staged.files] == [Path("out").absolute()]
    back = read(session, "out", kind, **({"infer_schema": True} if kind == "CSV" else {}))
    assert back.columns == frame.columns
    assert back.cast(dict(frame.schema)).rows() == frame.rows()


@pytest.mark.parametrize("kind", ["PARQUET", "IPC"])
def test_typed_formats_keep_types(session, kind):
    write(session, TYPED, "out", kind)
    back = read(session, "out", kind)
    assert back.rows() == TYPED.rows()
    assert back.schema == TYPED.schema


@pytest.mark.parametrize("kind", WRITTEN)
def test_no_rows(session, kind):
    staged = write(session, PLAIN.head(0), "out", kind)
    assert staged.rows == 0
    assert Path("out").is_file()


@pytest.mark.parametrize("kind", WRITTEN)
def test_into_a_directory(session, engine, kind):
    Path("out").mkdir()
    staged = write(session, PLAIN.head(2), "out", kind, directory=True, stem="run7")
    [file] = map(Path, staged.files)
    assert file.parent == Path("out").absolute() and file.name.startswith("run7-")
    assert staged.rows == 2
    assert read(session, "out", kind).height == 2


def test_several_outputs_of_one_frame(session):
    frame = session.adopt(PLAIN)
    formats = ["CSV", "JSON", "PARQUET", "JSONL", "AVRO", "EXCEL", "IPC"]
    staged = session.stage([Output(frame, f"out.{kind}", kind) for kind in formats])
    assert [each.rows for each in staged] == [6] * len(formats)
    for kind, each in zip(formats, staged, strict=True):
        assert read(session, each.files[0], kind).get_column("n").cast(pl.Int64).to_list() == PLAIN["n"].to_list()


def test_several_outputs_without_a_typed_one(session):
    frame = session.adopt(PLAIN)
    staged = session.stage([Output(frame, "a.csv", "CSV"), Output(frame, "b.jsonl", "JSONL")])
    assert [each.rows for each in staged] == [6, 6]
    assert read(session, "b.jsonl", "JSONL").rows() == PLAIN.rows()


def test_outputs_of_different_frames(session):
    frame = session.scan(FileRead(put("in.jsonl", '{"a": 1}\n{"a": 2}\n{"a": 3}\n'), "JSONL"))
    good, bad = frame.filter(nw.col("a") > 1), frame.filter(nw.col("a") <= 1)
    staged = session.stage([Output(good, "good", "PARQUET"), Output(bad, "bad", "CSV")])
    assert [each.rows for each in staged] == [2, 1]
    assert read(session, "good", "PARQUET")["a"].to_list() == [2, 3]


@pytest.mark.parametrize("kind", ["PARQUET", "CSV", "JSONL", "IPC"])
def test_partitions(session, engine, kind):
    if engine.formats[kind].via == "arrow":
        return
    Path("out").mkdir()
    frame = pl.DataFrame({"k": ["x", "y/z", "x", None], "v": [1, 2, 3, 4]})
    staged = write(session, frame, "out", kind, directory=True, stem="s", partition_by=("k",))
    assert staged.rows == 4
    assert len(staged.files) == 3
    assert all(Path(file).name.startswith("s-") for file in staged.files)
    assert {Path(file).parent.name for file in staged.files} == {"k=x", "k=y%2Fz", "k=__HIVE_DEFAULT_PARTITION__"}
    back = read(session, "out", kind).select("k", pl.col("v").cast(pl.Int64)).sort("v")
    assert back.rows() == frame.rows()


def test_partition_by_an_unknown_column(session):
    Path("out").mkdir()
    with pytest.raises(SinkError, match="symbool.*did you mean 'symbol'"):
        write(
            session,
            pl.DataFrame({"symbol": ["a"]}),
            "out",
            "PARQUET",
            directory=True,
            partition_by=("symbool",),
        )


def test_csv_keeps_null_and_empty_apart(session):
    frame = pl.DataFrame({"a": [None, "", "x"], "b": ["", None, "y"]})
    write(session, frame, "out.csv", "CSV")
    assert read(session, "out.csv", "CSV").rows() == frame.rows()


def test_csv_without_header(session):
    write(session, PLAIN.select("n").head(2), "out.csv", "CSV", header=False)
    assert Path("out.csv").read_text(encoding="utf-8") == "1\n2\n"


def test_json_is_one_utf8_list(session):
    write(session, pl.DataFrame({"s": ["ü\n", None]}), "out.json", "JSON")
    text = Path("out.json").read_bytes().decode("utf-8")
    assert json.loads(text) == [{"s": "ü\n"}, {"s": None}]
    assert "ü" in text


@pytest.mark.parametrize("kind", ["JSON", "JSONL"])
def test_json_has_no_nan(session, kind):
    write(session, pl.DataFrame({"x": [float("nan"), 1.0]}), "out", kind)
    assert read(session, "out", kind)["x"].to_list() == [None, 1.0]


@pytest.mark.parametrize(
    ("kind", "column", "named"),
    [
        ("CSV", pl.Series([[1]]), "List"),
        ("CSV", pl.Series([{"a": 1}]), "Struct"),
        ("CSV", pl.Series([b"x"]), "Binary"),
        ("JSONL", pl.Series([b"x"]), "Binary"),
        ("JSON", pl.Series([b"x"]), "Binary"),
        ("AVRO", pl.Series([dt.time(1)]), "Time"),
        ("AVRO", pl.Series([dt.datetime(2024, 1, 1, tzinfo=dt.UTC)]), "time zone"),
        ("AVRO", pl.Series([0]).cast(pl.Datetime("ns")), "nanoseconds"),
        ("EXCEL", pl.Series([[1]]), "List"),
        *((kind, MAPS, "Map") for kind in ("CSV", "JSON", "JSONL", "AVRO", "EXCEL")),
    ],
)
def test_types_a_format_cannot_hold(session, kind, column, named):
    frame = pl.DataFrame({"ok": [1], "bad": column})
    held = session.capabilities
    if named in held.unheld:
        with pytest.raises(SourceError, match=f"column 'bad' has the type {named}, which {held.name} cannot hold"):
            session.adopt(frame)
        return
    if named == "nanoseconds" and held.time_unit == "us":  # none is lost here
        write(session, frame, "out", kind)
        assert read(session, "out", kind)["bad"].to_list() == column.to_list()
        return
    with pytest.raises(SinkError, match=rf"{kind} cannot hold column 'bad'.*{named}"):
        write(session, frame, "out", kind)
    assert not Path("out").exists()


@pytest.mark.parametrize("value", ["parse_json('1')", "named_struct('inner', array(parse_json('1')))"])
@pytest.mark.parametrize("rules", [[], [{"name": "r", "expr": "count(id) OVER () > 0"}]])
def test_types_that_only_spark_has(tmp_path, monkeypatch, value, rules):
    monkeypatch.chdir(tmp_path)
    made = node("a", None, "out.parquet", steps=[f"SELECT 1 AS id, {value} AS bad"], expectations=rules)
    del made["source"]
    with pytest.raises(SinkError) as caught:
        pipeline("PYSPARK", made).execute()
    place = "an intermediate result" if rules else "'out.parquet'"
    assert f"{place}: PARQUET cannot hold column 'bad', type VARIANT; write to_json(" in str(caught.value)
    assert not Path("out.parquet").exists()


def test_avro_takes_small_integers(session):
    write(
        session, pl.DataFrame({"a": pl.Series([1], dtype=pl.UInt32), "b": pl.Series([2], dtype=pl.Int8)}), "out", "AVRO"
    )
    assert read(session, "out", "AVRO").rows() == [(1, 2)]


# --- formats that are only read --------------------------------------------------------------------------------------


def test_orc(session):
    from pyarrow import orc

    orc.write_table(pl.DataFrame({"a": [1, None], "s": ["x", "ü"]}).to_arrow(), "in.orc")
    assert read(session, "in.orc", "ORC").rows() == [(1, "x"), (None, "ü")]


def test_text(session):
    put("logs/b.txt", "three\n")
    put("logs/a.txt", "one\n\ntwo, ü\n")
    assert read(session, "logs", "TEXT").to_dict(as_series=False) == {"value": ["one", "", "two, ü", "three"]}


def test_pyarrow_dataset(session):
    Path("in").mkdir()
    PLAIN.write_parquet("in/a.parquet")
    assert read(session, "in", "PYARROW").rows() == PLAIN.rows()


def test_excel_sheets(session):
    import xlsxwriter

    with xlsxwriter.Workbook("in.xlsx") as book:
        pl.DataFrame({"a": [1]}).write_excel(book, "first")
        pl.DataFrame({"a": [2]}).write_excel(book, "second")
    assert read(session, "in.xlsx", "EXCEL").rows() == [(1,)]
    assert read(session, "in.xlsx", "EXCEL", kwargs={"sheet_name": "second"}).rows() == [(2,)]
    assert "third" in refused(session, "in.xlsx", "EXCEL", kwargs={"sheet_name": "third"})


def test_delta(session):
    pl.DataFrame({"a": [1, 2]}).write_delta("table")
    pl.DataFrame({"a": [3]}).write_delta("table", mode="overwrite")
    assert read(session, "table", "DELTA")["a"].to_list() == [3]
    assert sorted(read(session, "table", "DELTA", version=0)["a"].to_list()) == [1, 2]
    assert "'table'" in refused(session, "table", "DELTA", version=9)
    assert "'other' is no Delta table" in refused(session, "other", "DELTA")


# --- types of text ---------------------------------------------------------------------------------------------------

JSON_TYPES = [
    (['{"a": 1}', '{"a": 2.5}'], {"a": pl.Float64}, [(1.0,), (2.5,)]),
    (['{"a": 1}', '{"a": "x"}'], {"a": pl.String}, [("1",), ("x",)]),
    (['{"a": true}', '{"a": 3}'], {"a": pl.String}, [("true",), ("3",)]),
    (['{"a": null}', "{}"], {"a": pl.String}, [(None,), (None,)]),
    (['{"b": 1}', '{"a": 2, "b": null}'], {"b": pl.Int64, "a": pl.Int64}, [(1, None), (None, 2)]),
    (['{"a": "2024-01-01"}', '{"a": "12:00:00"}'], {"a": pl.String}, [("2024-01-01",), ("12:00:00",)]),
    (['{"a": "2024-01-01T00:00:00Z"}'], {"a": pl.String}, [("2024-01-01T00:00:00Z",)]),
    (['{"a": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"}'], {"a": pl.String}, [("f81d4fae-7dec-11d0-a765-00a0c91e6bf6",)]),
    (['{"a": [1]}', '{"a": []}', '{"a": [2.5, null]}'], {"a": pl.List(pl.Float64)}, [([1.0],), ([],), ([2.5, None],)]),
    (
        ['{"a": {"x": 1}}', '{"a": {"y": "v"}}'],
        {"a": pl.Struct({"x": pl.Int64, "y": pl.String})},
        [({"x": 1, "y": None},), ({"x": None, "y": "v"},)],
    ),
    (['{"a": 1234567890123456789}'], {"a": pl.Int64}, [(1234567890123456789,)]),
    (['{"a": {}}', '{"a": null}'], {"a": pl.String}, [("{}",), (None,)]),
    (['{"a": "\\u00fc\\n\\"\\ud83d\\ude00"}'], {"a": pl.String}, [('ü\n"😀',)]),
    (['{"a": 1e3}', '{"a": -0.5E-1}'], {"a": pl.Float64}, [(1000.0,), (-0.05,)]),
    (['{"é b": 1, "x.y": "0"}'], {"é b": pl.Int64, "x.y": pl.String}, [(1, "0")]),
]


@pytest.mark.parametrize("kind", ["JSON", "JSONL"])
@pytest.mark.parametrize(("lines", "schema", "rows"), JSON_TYPES)
def test_json_types(session, kind, lines, schema, rows):
    put("in", f"[{','.join(lines)}]" if kind == "JSON" else "\n".join(lines))
    back = read(session, "in", kind)
    assert dict(back.schema) == schema
    assert back.rows() == rows


def test_keys_that_come_late_are_columns(session):
    lines = [json.dumps({"a": i, "b": {"x": 1}}) for i in range(3000)]
    lines[2500] = '{"c": "late", "b": {"y": 2.5}, "a": 7.5}'
    put("in/1.jsonl", "\n".join(lines))
    put("in/2.jsonl", '{"a": 0, "d": true}\n')
    back = read(session, "in", "JSONL")
    assert back.columns == ["a", "b", "c", "d"]
    assert back.height == 3001
    assert back.row(2500) == (7.5, {"x": None, "y": 2.5}, "late", None)
    assert back.row(3000) == (0.0, None, None, True)


def test_json_lines_of_many_shapes(session):
    put("in.jsonl", "\n".join(json.dumps({f"k{i % 40}": i, "n": {"v": [i]}}) for i in range(5000)))
    back = read(session, "in.jsonl", "JSONL")
    assert set(back.columns) == {"n", *(f"k{i}" for i in range(40))}
    assert back["k7"].sum() == sum(range(7, 5000, 40))


def test_json_lines_with_blank_lines_and_carriage_returns(session):
    put("in.jsonl", '{"a": 1}\r\n\r\n{"a": 2}\n\n')
    assert read(session, "in.jsonl", "JSONL")["a"].to_list() == [1, 2]


def test_json_lines_compressed(session):
    Path("in.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n{"a": 2}\n'))
    assert read(session, "in.jsonl.gz", "JSONL")["a"].to_list() == [1, 2]


@pytest.mark.parametrize("other", ['{"a": {"x": 1}}', '{"a": [1]}'])
@pytest.mark.parametrize("kind", ["JSON", "JSONL"])
def test_json_kinds_that_do_not_go_together(session, kind, other):
    lines = ['{"a": 1}', other]
    put("in", f"[{','.join(lines)}]" if kind == "JSON" else "\n".join(lines))
    message = refused(session, "in", kind)
    assert "column 'a'" in message
    assert "numbers" in message
    schema = nw.Schema({"a": nw.String()})
    assert read(session, "in", kind, schema=schema)["a"].str.replace_all(" ", "").to_list() == [
        "1",
        other[5:-1].replace(" ", ""),
    ]


CSV_TYPES = [
    ("a\n1\n-2\n", pl.Int64, [1, -2]),
    ("a\n1\n2.5\n", pl.Float64, [1.0, 2.5]),
    ("a\n1e3\n\n", pl.Float64, [1000.0, None]),
    ("a\ntrue\nfalse\n", pl.Boolean, [True, False]),
    ("a\n007\n8\n", pl.String, ["007", "8"]),
    ("a\n12345678901234567890\n", pl.String, ["12345678901234567890"]),
    ("a\n2024-01-01\n", pl.String, ["2024-01-01"]),
    ("a\n1\ntrue\n", pl.String, ["1", "true"]),
    ("a,b\n,x\n", pl.String, [None]),
]


@pytest.mark.parametrize(("text", "dtype", "values"), CSV_TYPES)
def test_csv_types(session, text, dtype, values):
    put("in.csv", text)
    inferred = read(session, "in.csv", "CSV", infer_schema=True)
    assert inferred["a"].dtype == dtype
    assert inferred["a"].to_list() == values
    assert set(read(session, "in.csv", "CSV").dtypes) == {pl.String}


def test_csv_types_come_from_all_rows_and_files(session):
    put("in/1.csv", "a,b\n" + "1,x\n" * 2000)
    put("in/2.csv", "a,b\n2.5,y\n")
    put("in/3.csv", "a,b\n")
    put("in/4.csv", "")
    back = read(session, "in", "CSV", infer_schema=True)
    assert dict(back.schema) == {"a": pl.Float64, "b": pl.String}
    assert back["a"].to_list() == [1.0] * 2000 + [2.5]


def test_csv_header_and_separator(session, engine):
    put("in.csv", "1;x\n2;y\n")
    kwargs = {"POLARS": {"separator": ";"}, "DUCKDB": {"delim": ";"}, "PYSPARK": {"sep": ";"}}[engine.name]
    back = read(session, "in.csv", "CSV", has_header=False, kwargs=kwargs)
    assert back.rows() == [("1", "x"), ("2", "y")]
    # Spark's own reader has names of its own
    assert back.columns in (["column_0", "column_1"], ["_c0", "_c1"])


# --- declared schemas ------------------------------------------------------------------------------------------------

DECLARED = nw.Schema({"d": nw.Date(), "n": nw.Int32(), "m": nw.Decimal(10, 2)})


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("CSV", "n,d,m,extra\n1,2024-01-02,1.50,x\n"),
        ("JSONL", '{"n": 1, "d": "2024-01-02", "m": "1.50", "extra": 1}\n'),
        ("JSON", '[{"n": 1, "d": "2024-01-02", "m": "1.50", "extra": 1}]'),
    ],
)
def test_declared_columns_of_text(session, kind, text):
    put("in", text)
    back = read(session, "in", kind, schema=DECLARED)
    assert dict(back.schema) == {"d": pl.Date, "n": pl.Int32, "m": pl.Decimal(10, 2)}
    assert back.rows() == [(dt.date(2024, 1, 2), 1, Decimal("1.50"))]


@pytest.mark.parametrize(
    ("kind", "text"),
    [("CSV", "n\n1\n1.5\n"), ("CSV", "n\nx\n"), ("JSONL", '{"n": 1}\n{"n": 1.5}\n'), ("JSON", '[{"n": 1.5}]')],
)
def test_text_that_does_not_fit_its_schema(session, kind, text):
    put("in", text)
    refused(session, "in", kind, schema=nw.Schema({"n": nw.Int64()}))


@pytest.mark.parametrize("kind", ["PARQUET", "IPC"])
def test_declared_columns_of_typed_files(session, kind):
    write(session, pl.DataFrame({"a": pl.Series([1], dtype=pl.Int16), "x": ["y"], "f": [1.5]}), "in", kind)
    back = read(session, "in", kind, schema=nw.Schema({"x": nw.String(), "a": nw.Int64()}))
    assert dict(back.schema) == {"x": pl.String, "a": pl.Int64}
    assert "'f'" in refused(session, "in", kind, schema=nw.Schema({"f": nw.Int64()}))
    assert "'x'" in refused(session, "in", kind, schema=nw.Schema({"x": nw.Int64()}))


@pytest.mark.parametrize("kind", ["PARQUET", "IPC"])
def test_declared_decimals_of_typed_files(session, kind):
    write(session, pl.DataFrame({"m": pl.Series(["2.345"]).cast(pl.Decimal(10, 3))}), "in", kind)
    assert "'m'" in refused(session, "in", kind, schema=nw.Schema({"m": nw.Decimal(10, 2)}))
    assert read(session, "in", kind, schema=nw.Schema({"m": nw.Decimal(12, 4)}))["m"].to_list() == [Decimal("2.345")]


@pytest.mark.parametrize("kind", ["CSV", "PARQUET", "IPC", "AVRO"])
def test_declared_column_is_missing(session, kind):
    write(session, pl.DataFrame({"price": [1]}), "in", kind)
    assert "'prize'" in refused(session, "in", kind, schema=nw.Schema({"prize": nw.Int64()}))


@pytest.mark.parametrize("kind", ["CSV", "JSONL", "JSON"])
def test_empty_file(session, kind):
    put("in", "")
    assert "empty" in refused(session, "in", kind) or "no row" in refused(session, "in", kind)
    back = read(session, "in", kind, schema=nw.Schema({"a": nw.Int64()}))
    assert dict(back.schema) == {"a": pl.Int64}
    assert back.height == 0


# --- files, directories, globs ---------------------------------------------------------------------------------------


def test_directory_in_name_order_without_junk(session):
    for name, value in (("b.jsonl", 2), ("a.jsonl", 1), ("sub/c.ndjson", 3), ("d.json", 4)):
        put(f"in/{name}", json.dumps({"a": value}) + "\n")
    for junk in ("_SUCCESS", ".hidden.jsonl", "_tmp/x.jsonl", "notes.txt", ".a.jsonl.crc", "sub/.x/y.jsonl"):
        put(f"in/{junk}", "junk")
    assert read(session, "in", "JSONL")["a"].to_list() == [1, 2, 4, 3]
    assert read(session, "in/", "JSONL")["a"].to_list() == [1, 2, 4, 3]
    assert read(session, "in/*.jsonl", "JSONL")["a"].to_list() == [1, 2]
    assert read(session, "in/**/*.ndjson", "JSONL")["a"].to_list() == [3]
    assert read(session, "x", "JSONL", files=("in/b.jsonl", "in/a.jsonl"))["a"].to_list() == [2, 1]


@pytest.mark.parametrize("kind", ["CSV", "JSONL", "PARQUET", "IPC", "JSON", "TEXT"])
def test_brackets_are_literal(session, kind):
    name = f"x[1].{kind.lower()}"
    if kind == "TEXT":
        put(name, "1\n")
    else:
        write(session, pl.DataFrame({"a": [1]}), name, kind)
    put("x1." + kind.lower(), b"other")
    assert read(session, name, kind).height == 1


def test_rows(session):
    put("in/1.jsonl", '{"a": 1}\n{"a": 2}\n')
    put("in/2.jsonl", '{"a": 3}\n{"a": 4}\n')
    assert read(session, "in", "JSONL", rows=(1, 2))["a"].to_list() == [2, 3]


def test_partitioned_parquet(session):
    for day, value in (("2024-01-01", 1), ("2024-01-02", 2)):
        Path(f"lake/env=prod/t/day={day}/k={value}").mkdir(parents=True)
        pl.DataFrame({"v": [value]}).write_parquet(f"lake/env=prod/t/day={day}/k={value}/p.parquet")
    back = read(session, "lake/env=prod/t", "PARQUET").sort("v")
    assert dict(back.schema) == {"v": pl.Int64, "day": pl.Date, "k": pl.Int64}
    assert back.rows() == [(1, dt.date(2024, 1, 1), 1), (2, dt.date(2024, 1, 2), 2)]


@pytest.mark.parametrize("kind", ["PARQUET", "IPC", "CSV", "JSONL"])
def test_files_with_different_columns_are_united_by_name(session, kind):
    Path("in").mkdir()
    suffix = {"JSONL": "jsonl"}.get(kind, kind.lower())
    write(session, pl.DataFrame({"a": [1], "b": [2]}), f"in/1.{suffix}", kind)
    write(session, pl.DataFrame({"c": ["x"], "b": [3.5]}), f"in/2.{suffix}", kind)
    write(session, pl.DataFrame({"b": [4], "a": [5]}), f"in/3.{suffix}", kind)
    back = read(session, "in", kind, **({"infer_schema": True} if kind == "CSV" else {}))
    assert dict(back.schema) == {"a": pl.Int64, "b": pl.Float64, "c": pl.String}
    assert back.rows() == [(1, 2.0, None), (None, 3.5, "x"), (5, 4.0, None)]


@pytest.mark.parametrize("kind", ["PARQUET", "IPC"])
def test_typed_files_that_do_not_go_together(session, kind):
    Path("in").mkdir()
    write(session, pl.DataFrame({"a": [1]}), f"in/1.{kind.lower()}", kind)
    write(session, pl.DataFrame({"a": ["x"]}), f"in/2.{kind.lower()}", kind)
    message = refused(session, "in", kind)
    assert "column 'a'" in message
    assert "2." in message


# --- what cannot be read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [name for name in POLARS.formats if name != "DELTA"])
def test_missing(session, kind):
    put("prices.x", "")
    message = refused(session, "price.x", kind)
    assert "'price.x' does not exist" in message
    assert "did you mean 'prices.x'?" in message
    Path("void").mkdir()
    assert "'void' holds no file" in refused(session, "void", kind)
    assert "no file matches 'void/*.x'" in refused(session, "void/*.x", kind)
    put("other/readme.doc", "x")
    assert ".doc" in refused(session, "other", kind)


@pytest.mark.parametrize("kind", ["PARQUET", "IPC", "AVRO", "ORC", "EXCEL"])
@pytest.mark.parametrize("content", [b"", b"not of this kind at all"])
def test_damaged(session, kind, content):
    put("in.bin", content)
    assert "'in.bin'" in refused(session, "in.bin", kind)


def test_truncated_parquet(session):
    PLAIN.write_parquet("in.parquet")
    put("in.parquet", Path("in.parquet").read_bytes()[:-20])
    assert "'in.parquet'" in refused(session, "in.parquet", "PARQUET")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1}\n{"a": \n{"a": 3}\n', "line 2"),
        ('{"a": 1}\n[2]\n', "line 2"),
        ('{"a": 1}\n' * 2000 + '{"a": 1},\n', "line 2001"),
        ('{"a": 1}\n{"a": NaN}\n', "line 2"),
        ('[\n{"a": 1}\n]\n', "JSON"),
        (b'{"a": "caf\xe9"}\n', "UTF-8"),
        (b'\xef\xbb\xbf{"a": 1}\n', "byte order mark"),
    ],
)
def test_broken_json_lines(session, text, said):
    put("in/good.jsonl", '{"a": 0}\n')
    put("in/in.jsonl", text)
    message = refused(session, "in", "JSONL")
    assert "in/in.jsonl" in message
    assert said in message


@pytest.mark.parametrize(
    ("text", "said"),
    [('[{"a": 1},\n{"a":\n]', "line 3"), ('{"a": 1}\n{"a": 2}\n', "JSONL"), ("[1]", "element 1"), ("7", "object")],
)
def test_broken_json(session, text, said):
    put("in.json", text)
    message = refused(session, "in.json", "JSON")
    assert "'in.json'" in message
    assert said in message


@pytest.mark.parametrize("infer", [True, False])
def test_ragged_csv(session, infer):
    put("in.csv", "a,b\n1,2\n3,4,5\n")
    message = refused(session, "in.csv", "CSV", infer_schema=infer)
    assert "in.csv" in message
    assert "line 3" in message.lower()


@pytest.mark.parametrize("kind", ["CSV", "JSONL", "PARQUET", "AVRO", "EXCEL"])
def test_unknown_arguments(session, kind):
    write(session, pl.DataFrame({"a": [1]}), "in", kind)
    assert "'no_such_argument'" in refused(session, "in", kind, kwargs={"no_such_argument": 1})
    with pytest.raises(SinkError, match="no_such_argument"):
        write(session, pl.DataFrame({"a": [1]}), "out", kind, kwargs={"no_such_argument": 1})


def test_messages_hold_no_secret(session):
    from laktory.diagnostics.secrets import register

    register("hunter2secret")
    with pytest.raises(RunError) as caught:
        read(session, "in-hunter2secret/x.parquet", "PARQUET")
    assert "hunter2secret" not in str(caught.value)


def test_rows_keep_their_order(session):
    put("in.jsonl", "".join(json.dumps({"i": i, "pad": "x" * 50}) + "\n" for i in range(20_000)))
    frame = session.scan(FileRead("in.jsonl", "JSONL"))
    session.stage([Output(frame, "out.parquet", "PARQUET"), Output(frame, "out.csv", "CSV")])
    assert read(session, "out.parquet", "PARQUET")["i"].to_list() == list(range(20_000))
    assert read(session, "out.csv", "CSV", infer_schema=True)["i"].to_list() == list(range(20_000))
