"""What only DuckDB has: relations of one connection, its own types, names and reader options, one query at a time."""

import datetime as dt
import json
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import duckdb
import narwhals as nw
import polars as pl
import pytest

from laktory.engines._duckdb.session import DuckDBSession
from laktory.engines._duckdb.types import duckdb_type, identifier, literal, stored_type
from laktory.engines.protocol import FileRead, Output
from laktory.errors import RunInterrupted, SinkError, SourceError, StepError, UnsupportedError


@pytest.fixture
def session(tmp_path, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opened = DuckDBSession(str(tmp_path_factory.mktemp("scratch")))
    yield opened
    opened.close()


def put(path, text):
    Path(path).write_text(text, encoding="utf-8")
    return str(path)


def rows(frame):
    return frame.collect("polars").to_native().rows()


def refused(error, call, *args, **kwargs):
    with pytest.raises(error) as caught:
        call(*args, **kwargs)
    return str(caught.value)


# ---- types and texts -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype",
    [
        nw.Int8(), nw.UInt64(), nw.Int128(), nw.Float32(), nw.Boolean(), nw.String(), nw.Binary(), nw.Date(), nw.Time(),
        nw.Duration(), nw.Decimal(12, 3), nw.Datetime("ms"), nw.Datetime("us"), nw.Datetime("ns"),
        nw.Datetime("us", "UTC"), nw.List(nw.Int64()), nw.List(nw.List(nw.String())), nw.Array(nw.Int32(), 3),
        nw.Struct({"a b": nw.Int64(), 'q"': nw.List(nw.Struct({"x": nw.Date()}))}), nw.Enum(["it's", "b"]),
    ],
)  # fmt: skip
def test_types_there_and_back(session, dtype):
    frame = session.sql(f"SELECT CAST(NULL AS {duckdb_type(dtype)}) AS x", {})
    assert frame.collect_schema()["x"] == dtype


def test_types_duckdb_has_not():
    assert "Unknown" in refused(UnsupportedError, duckdb_type, nw.Unknown())


@pytest.mark.parametrize("value", ["it's", 'a"b', "x'); DROP TABLE t; --", "", "ü\n"])
def test_texts_are_quoted(value):
    with duckdb.connect() as con:
        assert con.execute(f"SELECT {literal(value)} AS {identifier(value or 'x')}").fetchall() == [(value,)]
        assert con.description[0][0] == (value or "x")


@pytest.mark.parametrize("value", [object(), b"x", "nul\0"])
def test_values_that_are_no_option(value):
    assert "no value for a DUCKDB option" in refused(UnsupportedError, literal, value)


def test_stored_types():
    with duckdb.connect() as con:
        types = con.sql("SELECT sum(1) AS a, [sum(1)] AS b, {x: sum(1)} AS c, uuid() AS d, 1::DOUBLE AS e").types
    assert [stored_type(each) for each in types] == ["BIGINT", "BIGINT[]", 'STRUCT("x" BIGINT)', "VARCHAR", "DOUBLE"]


# ---- sums, and what files hold -------------------------------------------------------------------


def test_a_sum_of_integers_is_an_integer_everywhere(session):
    frame = session.sql("SELECT sum(a) AS s FROM t", {"t": session.adopt({"a": [1, 2]})})
    assert session.schema(frame) == {"s": nw.Int64()}
    assert session.collect(frame).collect_schema() == {"s": nw.Int64()}
    session.stage([Output(frame, "out.parquet", "PARQUET"), Output(frame, "out.ipc", "IPC")])
    for found in (pl.read_parquet("out.parquet"), pl.read_ipc("out.ipc")):
        assert found.schema == {"s": pl.Int64}
        assert found.rows() == [(3,)]


def test_a_sum_beyond_64_bits_is_an_error(session):
    frame = session.sql("SELECT sum(a) AS s FROM t", {"t": session.adopt({"a": [2**62, 2**62]})})
    assert "out of range" in refused(StepError, session.stage, [Output(frame, "out", "PARQUET")])


@pytest.mark.parametrize("expression", ["INTERVAL 1 DAY", "{a: [INTERVAL 1 DAY]}", "TIMETZ '12:00:00+02'"])
def test_types_no_file_holds(session, expression):
    frame = session.sql(f"SELECT {expression} AS bad", {})
    message = refused(SinkError, session.stage, [Output(frame, "out", "PARQUET")])
    assert "PARQUET cannot hold column 'bad" in message
    assert not Path("out").exists()


def test_uuids_and_enums_are_text_in_files(session):
    frame = session.sql("SELECT '00000000-0000-0000-0000-000000000001'::UUID AS u, 'a'::ENUM('a', 'b') AS e", {})
    session.stage([Output(frame, "out", "PARQUET")])
    assert pl.read_parquet("out").rows() == [("00000000-0000-0000-0000-000000000001", "a")]


def test_nested_values_in_json(session):
    session.stage(
        [
            Output(
                session.sql(
                    "SELECT {f: 'nan'::DOUBLE, l: ['inf'::FLOAT, 0.1::FLOAT]} AS s, [{d: 1.50}] AS m, "
                    "TIMESTAMP '2024-01-02 03:04:05.5' AS t, NULL::STRUCT(x DOUBLE) AS n",
                    {},
                ),
                "out",
                "JSONL",
            )
        ]
    )
    assert json.loads(Path("out").read_text(encoding="utf-8")) == {
        "s": {"f": None, "l": [None, 0.1]},
        "m": [{"d": "1.50"}],
        "t": "2024-01-02 03:04:05.500",
        "n": None,
    }


def test_what_is_staged_has_the_schema_that_was_told(session):
    frame = session.adopt(
        pl.DataFrame(
            {
                "t": [dt.time(1, 2, 3, 4)],
                "nothing": [None],
                "list": [[None]],
                "array": pl.Series([[1, 2]], dtype=pl.Array(pl.Int64, 2)),
                "wide": pl.Series([2**70], dtype=pl.Int128),
                "ms": pl.Series([dt.datetime(2024, 1, 1)], dtype=pl.Datetime("ms")),  # noqa: DTZ001
            }
        )
    )
    session.stage([Output(frame, "out", "PARQUET")])
    back = session.scan(FileRead("out", "PARQUET"))
    assert session.schema(frame) == session.schema(back)
    assert rows(back) == [(dt.time(1, 2, 3, 4), None, [None], [1, 2], 2**70, dt.datetime(2024, 1, 1))]  # noqa: DTZ001


def test_integers_of_json_beyond_64_bits(session):
    put("in.jsonl", '{"id": 18446744073709551615, "s": {"n": 99999999999999999999}}\n')
    session.stage([Output(session.scan(FileRead("in.jsonl", "JSONL")), "out", "PARQUET")])
    assert pl.read_parquet("out").rows() == [(2**64 - 1, {"n": 99999999999999999999})]


def test_durations_polars_wrote(session):
    pl.DataFrame({"d": [dt.timedelta(seconds=90)]}).write_parquet("in.parquet")
    frame = session.scan(FileRead("in.parquet", "PARQUET"))
    assert rows(session.sql("SELECT d > INTERVAL 1 MINUTE AS long FROM t", {"t": frame})) == [(True,)]


# ---- one evaluation ------------------------------------------------------------------------------


def split(frame, column="pick"):
    return frame.filter(nw.col(column) % 2 == 0), frame.filter(nw.col(column) % 2 != 0)


@pytest.mark.parametrize(
    "build",
    [
        lambda s, t: s.sql("SELECT a, CAST(floor(random() * 1000) AS INTEGER) AS pick FROM t", {"t": t}),
        lambda s, t: s.sql("SELECT a, uuid() AS u, hash(uuid()) AS pick FROM t", {"t": t}).with_columns(b=nw.col("a")),
        lambda s, t: s.sql("SELECT a, hash(uuid()) AS pick FROM t", {"t": t}).join(t, on="a", how="left"),
    ],
)
def test_frames_with_a_common_step_that_is_not_deterministic(session, build):
    base = build(session, session.adopt({"a": list(range(1000))}))
    good, bad = split(base)
    staged = session.stage(
        [Output(good, "good", "PARQUET"), Output(bad, "bad", "PARQUET"), Output(base, "all.csv", "CSV")]
    )
    assert [each.rows for each in staged][2] == 1000
    together = pl.concat([pl.read_parquet("good"), pl.read_parquet("bad")])
    assert sorted(together["a"].to_list()) == list(range(1000))
    assert sorted(map(str, together["pick"])) == sorted(map(str, pl.read_csv("all.csv", infer_schema=False)["pick"]))


def test_several_outputs_of_one_random_frame_are_equal(session):
    frame = session.sql("SELECT uuid() AS u FROM range(500)", {})
    session.stage([Output(frame, "a.csv", "CSV"), Output(frame, "b.jsonl", "JSONL"), Output(frame, "c.csv", "CSV")])
    assert Path("a.csv").read_bytes() == Path("c.csv").read_bytes()
    assert [json.loads(line)["u"] for line in Path("b.jsonl").read_text().splitlines()] == pl.read_csv("a.csv")[
        "u"
    ].to_list()


def test_temporary_tables_of_a_stage_are_gone(session):
    frame = session.sql("SELECT random() AS x", {})
    session.stage([Output(frame, "a.csv", "CSV"), Output(frame.filter(nw.col("x") < 0), "b.csv", "CSV")])
    assert session._con.sql("SELECT table_name FROM duckdb_tables()").fetchall() == []


def test_a_plan_of_polars_is_computed_once(session):
    runs = []

    def counted(batch):
        runs.append(batch.height)
        return batch

    frame = session.adopt(pl.LazyFrame({"a": [1, 2]}).map_batches(counted))
    computed = len(runs)
    assert rows(frame) == rows(frame) == [(1,), (2,)]
    assert len(runs) == computed


# ---- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "said"), [(["a", "A"], "differ only by case"), ([""], "has no name"), (["x", "", "y"], "has no name")]
)
def test_names_duckdb_would_change(session, columns, said):
    frame = pl.DataFrame({name: [1] for name in columns})
    frame.write_parquet("in.parquet")
    frame.write_csv("in.csv")
    for path, kind in (("in.parquet", "PARQUET"), ("in.csv", "CSV")):
        assert said in refused(SourceError, session.scan, FileRead(path, kind))
    assert said in refused(SourceError, session.adopt, frame)


def test_fields_that_differ_by_case(session):
    put("in.jsonl", '{"s": {"b": 1, "B": 2}}\n')
    assert "'b' and 'B'" in refused(SourceError, session.scan, FileRead("in.jsonl", "JSONL"))


@pytest.mark.parametrize("statement", ["SELECT a, a FROM t", "SELECT 1 AS x, 2 AS X", "SELECT * FROM t, t AS u"])
def test_two_columns_of_one_name(session, statement):
    message = refused(StepError, session.sql, statement, {"t": session.adopt({"a": [1]})})
    assert "two columns are named" in message


def test_two_columns_of_one_name_from_a_native_join(session):
    left, right = (session._con.sql("SELECT 1 AS a, 2 AS b").set_alias(name) for name in "lr")
    frame = nw.from_native(left.join(right, condition="l.a = r.a"))
    assert "two columns are named 'a'" in refused(StepError, session.schema, frame)
    assert "two columns are named 'a'" in refused(StepError, session.sql, "SELECT count(*) FROM t", {"t": frame})


# ---- SQL -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT a FROM t ORDER BY a DESC",
        "FROM t ORDER BY a DESC",
        "WITH t2 AS (FROM t) SELECT a FROM t2 ORDER BY a DESC -- done",
        "SELECT a FROM t ORDER BY a DESC;",
        "SELECT a FROM t ORDER BY a DESC ; -- the end ;",
        "SELECT a /* ; */ FROM t WHERE ';' <> 'x' ORDER BY a DESC;",
        "WITH RECURSIVE r AS (SELECT 3 AS a UNION ALL SELECT a - 1 FROM r WHERE a > 1) SELECT a FROM r ORDER BY a DESC",
    ],
)
def test_statements(session, statement):
    assert rows(session.sql(statement, {"t": session.adopt({"a": [1, 2, 3]})})) == [(3,), (2,), (1,)]


def test_one_name_in_two_statements(session):
    first = session.sql("SELECT a + 1 AS a FROM t", {"t": session.adopt({"a": [1]})})
    second = session.sql("SELECT a + 1 AS a FROM t", {"t": first})
    assert rows(second) == [(3,)]
    assert rows(first) == [(2,)]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT amont FROM orders", ["no column 'amont'", '"amount"']),
        ("SELECT o.amont FROM orders o", ["amont"]),
        ("SELECT * FROM ordrs", ["no table 'ordrs'", "did you mean 'orders'?"]),
        ("SELECT summ(amount) FROM orders", ["no function 'summ'"]),
        ("SELECT amount, count(*) FROM orders", ["GROUP BY"]),
        ("SELECT * FROM read_parquet('none.parquet')", ["none.parquet"]),
        ("SELECT 1; SELECT 2", ["one statement"]),
        ("SELECT 1) UNION ALL (SELECT 2", ["syntax error"]),
        ("WITH w AS (COPY (SELECT 1) TO 'made') FROM w", ["top level"]),
    ],
)
def test_statements_that_fail(session, statement, said):
    message = refused(StepError, session.sql, statement, {"orders": session.adopt({"amount": [1]})})
    assert all(part in message for part in said), message
    assert "LINE" not in message
    assert "laktory_" not in message
    assert "pg_" not in message
    assert len(message.splitlines()) == 1
    assert not Path("made").exists()


@pytest.mark.parametrize(
    ("statement", "line", "column"),
    [
        ("SELECT a FRM t x", 1, 14),
        ("SELECT a,\n  b FRM t\n  WHERE", 2, 9),
        ("SELECT " + "aaaaaaaaaa, " * 30 + "\n" + "b, " * 60 + "c FRM t x", 2, 187),
    ],
)
def test_place_of_a_syntax_error(session, statement, line, column):
    message, found_line, found_column = session.check_sql(statement)
    assert "syntax error" in message
    assert (found_line, found_column) == (line, column)


def test_python_objects_are_no_tables(session):
    somewhere = pl.DataFrame({"a": [1]})  # noqa: F841
    assert "no table" in refused(StepError, session.sql, "SELECT * FROM somewhere", {})


# ---- methods Narwhals has wrong here -------------------------------------------------------------

PRICES = {
    "symbol": ["b", "a", "b", "a"],
    "t": [1, 2, 3, 4],
    "open": [1.0, 2.0, None, 4.0],
    "close": [5.0, 6.0, 7.0, 8.0],
}


def both(session, data, method, *args, **kwargs):
    """The method on DuckDB, and what Narwhals gives for it on Polars."""
    found = session.methods[method](session.adopt(data), *args, **kwargs)
    wanted = getattr(nw.from_native(pl.LazyFrame(data)), method)(*args, **kwargs)
    return rows(found), rows(wanted)


@pytest.mark.parametrize(
    ("method", "args", "kwargs"),
    [
        ("rename", ({"open": "o"},), {}),
        ("top_k", (2,), {"by": "close"}),
        ("top_k", (2,), {"by": ["symbol", "t"], "reverse": [True, False]}),
        ("unpivot", (["open", "close"],), {"index": ["symbol", "t"]}),
        ("unpivot", (), {"index": ["symbol", "t"], "variable_name": "what", "value_name": "price"}),
    ],
)
def test_methods(session, method, args, kwargs):
    found, wanted = both(session, PRICES, method, *args, **kwargs)
    assert sorted(found, key=str) == sorted(wanted, key=str)


@pytest.mark.parametrize("strategy", ["backward", "forward"])
@pytest.mark.parametrize("by", [None, "symbol"])
def test_join_asof(session, strategy, by):
    right = {"t": [0, 3], "symbol": ["a", "b"], "rate": [0.1, 0.2]}
    found = session.methods["join_asof"](session.adopt(PRICES), session.adopt(right), on="t", by=by, strategy=strategy)
    wanted = nw.from_native(pl.LazyFrame(PRICES)).join_asof(
        nw.from_native(pl.LazyFrame(right)), on="t", by=by, strategy=strategy
    )
    assert found.collect_schema().names() == wanted.collect_schema().names()
    assert sorted(rows(found), key=str) == sorted(rows(wanted), key=str)


@pytest.mark.parametrize(
    ("method", "args", "kwargs"),
    [("rename", ({"opn": "o"},), {}), ("top_k", (1,), {"by": "opn"}), ("unpivot", (["opn"],), {})],
)
def test_methods_name_the_closest_column(session, method, args, kwargs):
    message = refused(StepError, session.methods[method], session.adopt(PRICES), *args, **kwargs)
    assert "did you mean 'open'?" in message


def test_join_asof_nearest(session):
    frame = session.adopt(PRICES)
    assert "'nearest'" in refused(StepError, session.methods["join_asof"], frame, frame, on="t", strategy="nearest")


# ---- reader and writer options -------------------------------------------------------------------


def test_csv_options_of_duckdb(session):
    put("in.csv", "a|b\n1|N/A\n2|x\n")
    frame = session.scan(FileRead("in.csv", "CSV", kwargs={"sep": "|", "nullstr": "N/A"}))
    assert rows(frame) == [("1", None), ("2", "x")]
    typed = session.scan(FileRead("in.csv", "CSV", kwargs={"delim": "|", "columns": {"a": "BIGINT", "b": "VARCHAR"}}))
    assert rows(typed) == [(1, "N/A"), (2, "x")]


def test_csv_files_of_different_columns_with_options_of_duckdb(session):
    Path("in").mkdir()
    put("in/1.csv", "a,b\n1,-\n")
    put("in/2.csv", "b,a\n2,3\n")
    message = refused(SourceError, session.scan, FileRead("in", "CSV", kwargs={"nullstr": "-"}))
    assert "'in/2.csv' has other columns than 'in/1.csv'" in message
    frame = session.scan(FileRead("in", "CSV", kwargs={"nullstr": "-", "union_by_name": True}))
    assert rows(frame) == [("1", None), ("3", "2")]


def test_ragged_csv_with_options_of_duckdb(session):
    put("in.csv", "a,b\n1,2\n3,4,5\n")
    message = refused(
        SourceError, lambda: session.collect(session.scan(FileRead("in.csv", "CSV", kwargs={"nullstr": "-"})))
    )
    assert message == "'in.csv' line 3: 3 values, expected 2"


@pytest.mark.parametrize(
    "kwargs", [{"compression": "x'); COPY (SELECT 1) TO 'made' ("}, {"dateformat": "'); DROP TABLE t; --"}]
)
def test_values_of_options_are_no_sql(session, kwargs):
    put("in.jsonl", '{"a": 1}\n')
    frame = session.adopt({"a": [1]})
    with pytest.raises((SourceError, UnsupportedError)):
        session.collect(session.scan(FileRead("in.jsonl", "JSONL", kwargs={**kwargs, "compression": "'"})))
    with pytest.raises((SinkError, StepError)):
        session.stage([Output(frame, "out", "CSV", kwargs={**kwargs, "compression": "'"})])
    assert not Path("made").exists()


@pytest.mark.parametrize("path", ["it's.parquet", "a;b.parquet", 'q".parquet', "x[1].parquet", "*.parquet", "-- x"])
def test_paths_are_no_sql(session, path):
    frame = session.adopt({"a": [1]})
    session.stage([Output(frame, path, "PARQUET"), Output(frame, f"{path}.csv", "CSV")])
    assert rows(session.scan(FileRead(path, "PARQUET", files=(path,)))) == [(1,)]


def test_parquet_is_compressed_with_zstd_unless_told(session):
    frame = session.adopt({"a": list(range(1000))})
    session.stage([Output(frame, "z", "PARQUET")])
    session.stage([Output(frame, "s", "PARQUET", kwargs={"compression": "snappy", "row_group_size": 2048})])
    codecs = [
        session._con.execute("SELECT DISTINCT compression FROM parquet_metadata(?)", [path]).fetchall()
        for path in ("z", "s")
    ]
    assert codecs == [[("ZSTD",)], [("SNAPPY",)]]


def test_a_directory_of_several_files(session):
    Path("out").mkdir()
    frame = session.sql("SELECT range AS a, repeat('x', 100) || range AS s FROM range(400000)", {})
    [staged] = session.stage(
        [Output(frame, "out", "PARQUET", directory=True, stem="s", kwargs={"file_size_bytes": "100kb"})]
    )
    assert staged.rows == 400_000
    assert len(staged.files) > 1
    assert sorted(map(str, Path("out").absolute().iterdir())) == sorted(staged.files)
    assert pl.scan_parquet("out/s-*.parquet").select(pl.col("a").n_unique()).collect().item() == 400_000


def test_reader_methods(session):
    put("in.jsonl", '{"a": 1, "b": 2}\n{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n')
    methods = (("select", ("a",), {}), ("distinct", (), {}))
    assert sorted(rows(session.scan(FileRead("in.jsonl", "JSONL", methods=methods)))) == [(1,), (3,)]
    message = refused(UnsupportedError, session.scan, FileRead("in.jsonl", "JSONL", methods=(("create", ("t",), {}),)))
    assert "'create'" in message


def test_values_json_would_round(session):
    for value, dtype in (("1.5", nw.Int64()), ("7", nw.Boolean()), ('"2024-01-01 12:00:00"', nw.Date())):
        put("in.jsonl", f'{{"a": {{"x": [{value}]}}}}\n')
        schema = nw.Schema({"a": nw.Struct({"x": nw.List(dtype)})})
        read = FileRead("in.jsonl", "JSONL", schema=schema)
        assert "column 'a.x[]'" in refused(SourceError, lambda read: session.collect(session.scan(read)), read)


# ---- the connection ------------------------------------------------------------------------------


def test_zones(session):
    frame = session.adopt({"t": [dt.datetime(2024, 1, 2, 3, tzinfo=dt.timezone(dt.timedelta(hours=2)))]})
    assert rows(session.sql("SELECT hour(t) AS h, CAST(t AS VARCHAR) AS s FROM x", {"x": frame})) == [
        (1, "2024-01-02 01:00:00+00")
    ]


def test_extensions_are_not_loaded(session):
    settings = session._con.sql(
        "SELECT name, value FROM duckdb_settings() WHERE name LIKE 'auto%_known_extensions' ORDER BY 1"
    ).fetchall()
    assert settings == [("autoinstall_known_extensions", "false"), ("autoload_known_extensions", "false")]


def test_a_relation_of_another_connection_in_a_statement(session):
    with duckdb.connect() as other:
        foreign = nw.from_native(other.sql("SELECT 1 AS a"))
        frame = session.sql(
            "SELECT f.a, t.b FROM f JOIN t USING (a)", {"f": foreign, "t": session.adopt({"a": [1], "b": [2]})}
        )
        assert rows(frame) == [(1, 2)]


def test_interrupt(session):
    slow = session.sql("SELECT count(*) AS n FROM range(100000000) a, range(1000) b WHERE a.range + b.range = 7", {})
    threading.Timer(0.3, session.interrupt).start()
    start = time.monotonic()
    with pytest.raises(RunInterrupted):
        session.stage([Output(slow, "out", "PARQUET")])
    assert time.monotonic() - start < 10
    assert rows(session.sql("SELECT 1 AS a", {})) == [(1,)]


def test_several_threads(session):
    frame = session.adopt({"a": list(range(1000))})
    failures = []

    def work(number):
        try:
            for step in range(5):
                made = session.sql(f"SELECT a + {number} AS a FROM t", {"t": frame})
                [staged] = session.stage([Output(made, f"{number}-{step}", "PARQUET")])
                assert staged.rows == 1000
                assert session.schema(session.collect(made)) == {"a": nw.Int64()}
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert pl.read_parquet("3-4")["a"].to_list() == [a + 3 for a in range(1000)]


def test_more_rows_than_memory(session):
    session._con.execute("SET memory_limit = '150MB'")
    session._con.execute("SET threads = 2")
    frame = session.sql(
        "SELECT hash(range) AS h, range AS a, repeat('x', 60) || range AS s FROM range(2000000)", {}
    ).sort("h")
    staged = session.stage([Output(frame, "out.parquet", "PARQUET"), Output(frame, "out.csv", "CSV")])
    assert [each.rows for each in staged] == [2_000_000] * 2
    assert list(session._scratch.glob("duckdb-*")) != []


def test_nothing_is_said_at_exit(tmp_path):
    script = """
    import narwhals as nw, polars as pl
    from laktory.engines._duckdb.session import DuckDBSession
    from laktory.engines.protocol import FileRead
    pl.DataFrame({"a": [1]}).write_csv("in.csv")
    session = DuckDBSession(".")
    frame = session.sql("SELECT a FROM t", {"t": session.scan(FileRead("in.csv", "CSV"))})
    other = session.adopt({"a": [1]}).filter(nw.col("a") > 0)
    assert session.collect(frame).collect("polars").shape == (1, 1)
    session.close()
    session.close()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_engine_itself_reads_nothing_but_the_frames(session, tmp_path):
    put(tmp_path / "s.csv", "a\n1\n")
    df = session.adopt({"a": [1]})
    session.sql("FROM __df__", {"__df__": df})
    for statement in (
        'WITH RECURSIVE "s.csv" AS (SELECT * FROM "s.csv") SELECT * FROM "s.csv"',
        "SELECT * FROM __df__ JOIN 's.csv' USING (a)",
        "SELECT (SELECT max(a) FROM '*.csv') AS a FROM __df__",
        "FROM read_csv('s.csv')",
        "FROM read_text('/etc/host*')",
        "FROM glob('*')",
    ):
        assert "a step reads no files" in refused(StepError, session.sql, statement, {"__df__": df})
    assert "no table 'laktory_data_0'" in refused(StepError, session.sql, "FROM laktory_data_0", {"__df__": df})
    statement = "SELECT * FROM __df__ ASOF JOIN range(3) r(b) ON a >= b"
    assert rows(session.sql(statement, {"__df__": df})) == [(1, 1)]


def test_any_type_of_column_can_be_queried(session):
    values = """NULL AS n, 1::HUGEINT AS h, 'x'::ENUM ('x', 'it''s') AS e, {'a b': [1], 'c': DATE '2020-01-01'} AS s,
        MAP {'k': 1} AS m, [1, 2]::INTEGER[2] AS l, INTERVAL 1 DAY AS i, TIME '10:00' AS t, 'a'::BLOB AS b,
        uuid() AS u, '101'::BIT AS bits, TIMESTAMPTZ '2020-01-01 00:00:00Z' AS z, union_value(k := 1) AS un"""
    frame = session.sql(f"SELECT {values}", {})
    again = session.sql("SELECT * FROM __df__", {"__df__": frame})
    assert nw.to_native(again).types == nw.to_native(frame).types
