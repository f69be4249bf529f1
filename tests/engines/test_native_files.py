"""What engines read and write by themselves: nothing is left out, cut or taken for something else without a word."""

import datetime as dt
import math
from pathlib import Path

import narwhals as nw
import polars as pl
import pytest
from building import files_at, node, numbers, pipeline
from test_formats import put, read, refused, write

from laktory import models
from laktory.engines.capabilities import ENGINES, FormatSupport
from laktory.engines.protocol import FileRead, Output
from laktory.errors import DefinitionError, RunError, SinkError, SourceError

NAN = pl.DataFrame({"id": [1, 2], "x": [math.nan, 1.0]})


@pytest.mark.parametrize("format_", ["PARQUET", "DELTA"])
def test_nan_beside_one_other_value(session, format_):
    """The limits in the statistics of a file are those of the other values."""
    {"PARQUET": NAN.write_parquet, "DELTA": NAN.write_delta}[format_]("in")
    frame = session.scan(FileRead("in", format_))
    assert str(session.fetch(frame).sort("id")["x"].to_list()) == "[nan, 1.0]"
    assert session.fetch(frame.filter(nw.col("x").is_nan()))["id"].to_list() == [1]
    assert session.fetch(frame.filter(nw.col("x") > 5))["id"].to_list() == [1]
    kept = session.collect(frame)
    assert session.fetch(kept.filter(nw.col("x").is_nan()))["id"].to_list() == [1]
    assert str(session.fetch(session.collect(kept)).sort("id")["x"].to_list()) == "[nan, 1.0]"


@pytest.mark.parametrize("format_", ["PARQUET", "DELTA"])
def test_nan_in_a_struct(session, format_):
    frame = NAN.select("id", s=pl.struct("x", deep=pl.struct("x")))
    {"PARQUET": frame.write_parquet, "DELTA": frame.write_delta}[format_]("in")
    for path in ("s.x", "s.deep.x") if session.capabilities.name == "PYSPARK" else ():
        found = session.sql(f"SELECT id FROM t WHERE {path} > 5", {"t": session.scan(FileRead("in", format_))})
        assert session.fetch(found)["id"].to_list() == [1]
    back = session.fetch(session.scan(FileRead("in", format_))).sort("id")
    assert str(back["s"].struct.field("x").to_list()) == "[nan, 1.0]"


@pytest.mark.parametrize("others", [0, 1])
def test_a_file_that_is_gone(session, others):
    for number in range(1 + others):
        numbers(f"{number}.parquet")
    files = tuple(f"{number}.parquet" for number in range(1 + others))
    frame = session.scan(FileRead("0.parquet", "PARQUET", files=files))
    frames = (frame, frame.select("id"), frame.select(nw.len()))
    Path("0.parquet").unlink()
    for what in frames:
        with pytest.raises(SourceError, match=r"0\.parquet"):
            session.fetch(what)


@pytest.mark.parametrize(
    "path", ["_in.parquet", ".in.parquet", "k=1/in.parquet", "a b/_c/in [1].parquet", "a,b.parquet"]
)
def test_a_file_of_any_name(session, path):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    numbers(path)
    assert read(session, path, "PARQUET").columns == ["id", "x", "s"]
    assert read(session, path, "PARQUET").height == 6


def test_another_name_of_a_source_is_its_name(session):
    put("a [1].parquet", b"PAR1 and no more")
    assert "'a [1].parquet' is no PARQUET file" in refused(session, "a [1].parquet", "PARQUET")


SEPARATOR = {"POLARS": {"separator": ";"}, "DUCKDB": {"delim": ";"}, "PYSPARK": {"sep": ";"}}
VALUES = pl.DataFrame(
    {
        "s": [" blanks ", "", None, 'a "quoted"; one'],
        "t": [dt.datetime(2024, 1, 2, 3, 4, 5, 678901), None, None, None],  # noqa: DTZ001
        "f": [0.1, None, 1e300, -0.0],
    }
)


def test_text_with_options_of_the_engine(session):
    kwargs = SEPARATOR[session.capabilities.name]
    staged = write(session, VALUES, "out", "CSV", kwargs=kwargs, directory=Path("out").mkdir() is None)
    assert staged.rows == 4
    back = read(session, "out", "CSV", kwargs=kwargs, schema=session.schema(session.adopt(VALUES)))
    assert back.rows() == VALUES.rows()


@pytest.mark.parametrize("option", ["allowComments", "samplingRatio"])
def test_two_records_in_a_line(session, option):
    """Only where options of the engine let it read JSON by itself."""
    put("in.jsonl", '{"a": 1}\n{"a": 2}{"a": 3}\n')
    kwargs = {option: 1.0} if session.capabilities.name == "PYSPARK" and option == "samplingRatio" else {}
    said = refused(session, "in.jsonl", "JSONL", kwargs=kwargs)
    assert "in.jsonl' line 2: not valid JSON, Extra data" in said or "has no argument" in said


def test_options_with_partitions(backend):
    numbers()
    kwargs = {"partition_by": ["s"], "compression": "gzip"}
    sink = {"path": "out/", "format": "PARQUET", "writer_kwargs": kwargs}
    pipeline(backend, node("a", "in.parquet", sink)).execute()
    assert sorted(file.parent.name for file in files_at("out")) == [f"s=s{number}" for number in range(6)]
    assert pl.read_parquet("out").sort("id").rows() == pl.read_parquet("in.parquet").rows()


@pytest.mark.parametrize("kind", ["PARQUET", "CSV"])
def test_leftovers_of_a_write_that_fails(session, kind):
    frame = session.adopt({"s": ["x", "1"]}).select(nw.col("s").cast(nw.Int64()))
    Path("out").mkdir()
    with pytest.raises(RunError):
        session.stage([Output(frame, "out", kind, directory=True)])
    assert not list(Path("out").rglob("spark*"))


def test_a_place_without_a_folder(session):
    for kind in ("PARQUET", "CSV"):
        with pytest.raises(SinkError, match=r"nowhere.*No such file or directory"):
            write(session, pl.DataFrame({"a": [1]}), "nowhere/out", kind)


FOUND = {
    "XML": ("in.xml", b"<all><row><a>1</a></row><row><a>2</a></row></all>", {"rowTag": "row"}, [1, 2], "a"),
    "TEXT": ("in.txt", b"one\ntwo\n", {"wholetext": True}, ["one\ntwo\n"], "value"),
    "BINARYFILE": ("in.bin", b"\x00\x01", {}, [b"\x00\x01"], "content"),
}


@pytest.mark.parametrize("format_", list(FOUND))
def test_formats_that_only_spark_reads(session, format_):
    name, data, kwargs, values, column = FOUND[format_]
    Path("a [1]").mkdir()
    put(f"a [1]/{name}", data)
    formats = session.capabilities.formats
    if format_ not in formats or not set(kwargs) <= set(session.arguments(format_)):
        assert session.capabilities.name != "PYSPARK" or session.capabilities.variant == "Sail"
        return
    for path in ("a [1]", f"a [1]/{name}"):
        assert read(session, path, format_, kwargs=kwargs)[column].to_list() == values


@pytest.mark.parametrize("format_", ["XML", "BINARYFILE", "ORC"])
def test_formats_that_an_engine_does_not_write(backend, format_):
    if ENGINES[backend].formats.get(format_, FormatSupport()).modes:
        numbers()
        kwargs = {"rowTag": "row"} if format_ == "XML" else {}
        sink = {"path": "out", "format": format_, "writer_kwargs": kwargs}
        made = pipeline(backend, node("a", "in.parquet", sink), node("b", "a", "back.parquet"))
        made.execute()
        assert pl.read_parquet("back.parquet").sort("id").rows() == pl.read_parquet("in.parquet").rows()
        return
    with pytest.raises(DefinitionError, match=format_):
        pipeline(backend, node("a", "in.parquet", {"path": "out", "format": format_})).execute()


def test_a_declared_schema_of_a_delta_table(session):
    numbers("t.parquet")
    pl.read_parquet("t.parquet").write_delta("t")
    back = read(session, "t", "DELTA", schema=nw.Schema({"s": nw.String(), "id": nw.Float64()}))
    assert back.sort("s").rows() == [(f"s{number}", float(number)) for number in range(6)]
    assert "has no column 'z', which 'schema' declares" in refused(
        session, "t", "DELTA", schema=nw.Schema({"z": nw.Int64()})
    )


def test_a_declared_schema_goes_by_names(session):
    put("in.csv", "b;a\n1;x\n")
    schema = nw.Schema({"a": nw.String(), "b": nw.Int64()})
    kwargs = SEPARATOR[session.capabilities.name]
    try:
        assert read(session, "in.csv", "CSV", kwargs=kwargs, schema=schema).rows() == [("x", 1)]
    except SourceError as error:  # Spark's own reader goes by their order
        assert session.capabilities.name == "PYSPARK"
        assert "in.csv" in str(error)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("CAST(s AS BINARY) AS b", "type Binary"),
        ("array(s) AS _l", "column '_l'.*attribute"),
        ("CAST('2024-01-02' AS DATE) AS _d", "column '_d'.*attribute"),
        ("named_struct('a', array(named_struct('_t', current_date()))) AS c", "column '_t'.*attribute"),
        ("array(s) AS _VALUE", "column '_VALUE'.*bare text"),
    ],
)
def test_what_xml_cannot_hold_is_refused(column, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numbers()
    sink = {"path": "out", "format": "XML", "writer_kwargs": {"attributePrefix": "_"}}
    made = pipeline("PYSPARK", node("a", "in.parquet", sink, steps=[f"SELECT id, {column} FROM {{df}}"]))
    with pytest.raises((DefinitionError, SinkError), match=words if "XML" in ENGINES["PYSPARK"].formats else "XML"):
        made.execute()
    assert not Path("out").exists()


@pytest.mark.parametrize("attributes", [True, False])
def test_columns_of_xml_whose_names_begin_with_the_sign_of_attributes(attributes, tmp_path, monkeypatch):
    if "XML" not in ENGINES["PYSPARK"].formats:  # refused, as any format that an engine does not write
        return
    monkeypatch.chdir(tmp_path)
    numbers()
    kept = "_id" if attributes else "'2024-01-02' :: DATE AS _d, array(id, _id) AS _l, _id"
    sink = {"path": "out", "format": "XML", "writer_kwargs": {"attributePrefix": "_"} if attributes else {}}
    steps = ["SELECT *, id AS _id FROM {df}", f"SELECT s, {kept} FROM {{df}}"]
    pipeline("PYSPARK", node("a", "in.parquet", sink, steps=steps)).execute()
    assert ("<row id=" in files_at("out")[0].read_text()) is attributes
    source = models.FileDataSource(path="out/", format="XML", dataframe_backend="PYSPARK")
    back = source.read().collect("polars").to_native().sort("s").row(1, named=True)
    assert back == {"s": "s1", "_id": 1} | ({} if attributes else {"_d": dt.date(2024, 1, 2), "_l": [1, 1]})
