"""Files that are not what they should be: one error in the same words on every engine; outputs stay as they were."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from laktory import models
from laktory.engines.capabilities import ENGINES
from laktory.errors import LaktoryError, SinkError

from .building import node, pipeline

LINE = b'{"a": 1, "b": "x"}\n'
ROWS = b"a,b\n1,x\n2,y\n"
DECLARED = {"columns": [{"name": "a", "dtype": "int64"}, {"name": "b", "dtype": "string"}]}
FRAME = pl.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]})


def packed(data):
    return gzip.compress(data, mtime=0)


def failure(backend, path, format_, **source):
    """What a run says that reads a file into a sink, which keeps what it holds."""
    Path("out.parquet").write_bytes(b"old")
    read = {"path": path, "format": format_, **source}
    with pytest.raises(LaktoryError) as caught:
        pipeline(backend, node("n", read, "out.parquet")).execute()
    assert Path("out.parquet").read_bytes() == b"old"
    assert caught.value.exit_code == 1
    return str(caught.value).removeprefix("node 'n': ")


def rows(backend, path, format_, steps=None, **source):
    pipeline(backend, node("n", {"path": path, "format": format_, **source}, "out.parquet", steps=steps)).execute()
    return pl.read_parquet("out.parquet").rows()


@pytest.mark.parametrize("schema", [None, DECLARED], ids=["inferred", "declared"])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (LINE + b'{"a": 2, "b": "y', "'in.jsonl' line 2: not valid JSON, Unterminated string starting at column 15"),
        (LINE + LINE[:-1] + LINE, "'in.jsonl' line 2: not valid JSON, Extra data at column 19"),
        (LINE + b"[1]\n", "'in.jsonl' line 2: an object is expected on each line, found a list"),
        (LINE + b'{"a": NaN}\n', "'in.jsonl' line 2: NaN is no JSON value"),
        (LINE + b'{"a": 1, "a": 2}\n', "'in.jsonl' line 2: the key 'a' occurs twice in one object"),
        (LINE * 2 + b'{"b": "\xff"}\n', "'in.jsonl' line 3: not UTF-8 text, byte 0xff at column 8"),
        (b"\xef\xbb\xbf" + LINE, "'in.jsonl' line 1: starts with a byte order mark; save the file as UTF-8 without it"),
        (LINE.decode().encode("utf-16"), "'in.jsonl' is UTF-16 text; save it as UTF-8"),
        (LINE.replace(b"\n", b"\r") * 2, "'in.jsonl': its lines end in CR alone; save it with LF, or CR and LF"),
        (LINE + b"\0" * 20, "'in.jsonl' line 2: not valid JSON, Expecting value at column 1"),
        (LINE + b'{"a": ' + b"[" * 1000 + b"]" * 1000 + b"}\n", "'in.jsonl' line 2: is nested too deeply"),
        (packed(LINE), ("'in.jsonl' is compressed with gzip, which its name does not say; names end in .gz (gzip), "
         ".zst (zstd) or neither")),
    ],
)  # fmt: skip
def test_json_lines(backend, data, said, schema):
    Path("in.jsonl").write_bytes(data)
    assert failure(backend, "in.jsonl", "JSONL", **({"schema": schema} if schema else {})) == said


def test_types_that_change_late_in_json_lines(backend):
    Path("in.jsonl").write_bytes(LINE * 200_000 + b'{"a": "z", "b": "x"}\n')
    said = failure(backend, "in.jsonl", "JSONL", schema=DECLARED)
    assert said == "'in.jsonl' line 200001: column 'a' holds text, but 'schema' declares Int64"


@pytest.mark.parametrize("schema", [None, DECLARED], ids=["inferred", "declared"])
def test_a_line_of_50_megabytes(backend, schema):
    Path("in.jsonl").write_bytes(LINE + b'{"a": 7, "b": "' + b"x" * 50_000_000 + b'"}\n')
    found = rows(backend, "in.jsonl", "JSONL", **({"schema": schema} if schema else {}))
    assert [(a, len(b)) for a, b in found] == [(1, 1), (7, 50_000_000)]


QUOTE = "has a quote inside; put all of it in quotes, and double those inside"


@pytest.mark.parametrize(
    "source", [{}, {"infer_schema": True}, {"schema": DECLARED}], ids=["text", "inferred", "declared"]
)
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (ROWS + b"3,z,q\n", "'in.csv' line 4: 3 values, expected 2"),
        (ROWS + b'3,"z\n4,w\n', "'in.csv' line 4: the quote before value 2 is not closed"),
        (ROWS + b'3,z"z\n4,w\n', f"'in.csv' line 4: value 2 {QUOTE}"),
        (ROWS + b'3,"z"q\n4,w\n', f"'in.csv' line 4: value 2 {QUOTE}"),
        (ROWS + b'3,"z\\"q"\n4,w\n', f"'in.csv' line 4: value 2 {QUOTE}"),
        (b'a,b\n1,z"z\n2,w"w\n3,q\n', f"'in.csv' line 2: value 2 {QUOTE}"),
        (b'a,"b\n1,x\n', "'in.csv' line 1: the quote before value 2 is not closed"),
        (ROWS + "3,é\n".encode("latin-1"), "'in.csv' line 4: not UTF-8 text, byte 0xe9 at column 3"),
        ("a,é\n1,2\n".encode("latin-1"), "'in.csv' line 1: not UTF-8 text, byte 0xe9 at column 3"),
        (ROWS.replace(b"\n", b"\r"), "'in.csv': its lines end in CR alone; save it with LF, or CR and LF"),
        (b"\n\n\n", "'in.csv' holds no line but blank ones, so there are no columns"),
        (b"a,a,a_duplicated_0\n1,2,3\n", ("'in.csv': a name stands several times in its header, and also as the reader "
         "would tell them apart; give each column a name of its own")),
    ],
)  # fmt: skip
def test_csv(backend, data, said, source):
    Path("in.csv").write_bytes(data)
    assert failure(backend, "in.csv", "CSV", **source) == said


@pytest.mark.parametrize("step", ["SELECT COUNT(*) AS n FROM {df}", "SELECT a FROM {df} WHERE a = '1'"])
@pytest.mark.parametrize("line", [b'1,z"z\n2,w"w\n', b"1,x,q\n", b'1,"x\n', b"1,\xe9\n"])
def test_lines_of_csv_break_off_whatever_is_asked_for(backend, line, step):
    Path("in.csv").write_bytes(ROWS + line)
    read = {"path": "in.csv", "format": "CSV"}
    with pytest.raises(LaktoryError, match="'in.csv' line 4: "):
        pipeline(backend, node("n", read, "out.parquet", steps=[step])).execute()


def test_short_lines_of_csv_are_filled_with_nulls(backend):
    Path("in.csv").write_bytes(ROWS + b"3\n\n4,\n")
    assert rows(backend, "in.csv", "CSV") == [("1", "x"), ("2", "y"), ("3", None), (None, None), ("4", None)]


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("int64", "oops"), ("int64", "1.5"), ("int8", "300"), ("boolean", "yes"), ("float64", "1d"),
        ("date", "01/02/2024"), ("date", "2024-02-30"), ("date", "2024-1-2"),
        ("datetime", "01/02/2024 10:00"), ("datetime", "2024-01-02 25:00"), ("time", "25:00"),
    ],
)  # fmt: skip
def test_values_that_are_none_of_their_declared_type(backend, dtype, value):
    shown = dtype.capitalize()
    if shown in ENGINES[backend].unheld:
        Path("in.csv").write_text(f"a\n{value}\n")
        said = failure(backend, "in.csv", "CSV", schema={"columns": [{"name": "a", "dtype": dtype}]})
        assert said.startswith(f"'in.csv': column 'a' has the type {shown}, which {backend} cannot hold")
        return
    Path("in.csv").write_text('b,a\n"x\ny",\n\n' + "q,\n" * 3000 + f'"q","{value}"\n')
    schema = {"columns": [{"name": "a", "dtype": dtype}, {"name": "b", "dtype": "string"}]}
    said = failure(backend, "in.csv", "CSV", schema=schema)
    assert said.partition(" (")[0] == f"'in.csv' line 3005: column 'a': {value!r} is no {shown}"
    if dtype in {"date", "datetime", "time"}:
        Path("in.jsonl").write_text('{"a": null}\n' + json.dumps({"a": value}) + "\n")
        said = failure(backend, "in.jsonl", "JSONL", schema={"columns": schema["columns"][:1]})
        assert said.partition(" (")[0] == f"'in.jsonl' line 2: column 'a': {value!r} is no {shown}"


def test_a_value_with_nul_that_is_none_of_its_type(backend):
    """As text of an error of a reader this ended the process."""
    Path("in.csv").write_bytes(ROWS + b"\0" * 20)
    assert failure(backend, "in.csv", "CSV", schema=DECLARED).startswith("'in.csv' line 4: column 'a': '\\x00")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("in.jsonl.gz", LINE, ("'in.jsonl.gz' is not compressed with gzip, which its name says; "
         "names end in .gz (gzip), .zst (zstd) or neither")),
        ("in.csv.zst", packed(ROWS), ("'in.csv.zst' is compressed with gzip, which its name does not say; "
         "names end in .gz (gzip), .zst (zstd) or neither")),
        ("in.jsonl.gz", packed(LINE * 9)[:-9], "'in.jsonl.gz': unexpected end of file"),
        ("in.csv.gz", packed(ROWS * 9)[:-9], "'in.csv.gz': unexpected end of file"),
        ("in.csv.gz", packed(ROWS + b"3,4,5\n"), "'in.csv.gz' line 4: 3 values, expected 2"),
    ],
)  # fmt: skip
def test_compressed_text(backend, name, data, said):
    Path(name).write_bytes(data)
    assert failure(backend, name, "CSV" if ".csv" in name else "JSONL") == said


WRITERS = {
    "PARQUET": ("parquet", FRAME.write_parquet),
    "IPC": ("ipc", FRAME.write_ipc),
    "AVRO": ("avro", FRAME.write_avro),
    "EXCEL": ("xlsx", FRAME.write_excel),
}


@pytest.mark.parametrize("format_", list(WRITERS))
@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda _: b"a,b\n1,2\n"], ids=["cut", "csv"])
def test_one_damaged_file_of_a_directory_is_named(backend, format_, damage):
    ending, write = WRITERS[format_]
    Path("in").mkdir()
    for number in range(3):
        write(f"in/{number}.{ending}")
    bad = Path(f"in/1.{ending}")
    bad.write_bytes(damage(bad.read_bytes()))
    said = failure(backend, "in", format_)
    assert said == f"'in/1.{ending}' is no {format_} file, or is cut short or damaged"


@pytest.mark.parametrize("format_", ["PARQUET", "IPC"])
def test_an_empty_file_among_others(backend, format_):
    ending, write = WRITERS[format_]
    Path("in").mkdir()
    write(f"in/0.{ending}")
    Path(f"in/1.{ending}").touch()
    assert failure(backend, "in", format_) == f"'in/1.{ending}' is empty, it is no {format_} file"


def test_errors_in_cells(backend):
    import xlsxwriter

    with xlsxwriter.Workbook("in.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["a", "b"])
        sheet.write_row(1, 0, [1, 2])
        sheet.write_formula(2, 1, "=1/0", None, "#DIV/0!")
    said = failure(backend, "in.xlsx", "EXCEL")
    assert said == "'in.xlsx': the cell in row 3, column 2 holds an error; mend its formula"


def commit(version):
    return Path(f"t/_delta_log/{version:020}.json")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda: commit(1).unlink(), f"'_delta_log/{1:020}.json' is missing"),
        (lambda: commit(1).write_text(""), f"'_delta_log/{1:020}.json' is empty"),
        (lambda: commit(2).write_text("{"), f"'_delta_log/{2:020}.json' line 1 is no JSON object"),
    ],
)
def test_logs_of_delta_tables(backend, damage, said):
    for _ in range(3):
        FRAME.write_delta("t", mode="append")
    damage()
    assert failure(backend, "t", "DELTA") == f"'t' cannot be read as a Delta table: {said}"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: file.unlink(), "of the Delta table cannot be read: No such file or directory"),
        (lambda file: file.write_bytes(b""), "is not the one that was committed to the Delta table: it has 0 bytes"),
        (
            lambda file: file.write_bytes(file.read_bytes()[:-30]),
            "is not the one that was committed to the Delta table",
        ),
        (lambda file: FRAME.head(1).write_parquet(file), "is not the one that was committed to the Delta table"),
        (lambda file: file.write_bytes(b"x" * file.stat().st_size), "is no PARQUET file, or is cut short or damaged"),
    ],
    ids=["missing", "empty", "cut", "another", "garbage"],
)
def test_data_files_of_delta_tables(backend, damage, said):
    """A reader that gives up on a file ended the table there, as if it held no more rows."""
    for _ in range(2):
        FRAME.write_delta("t", mode="append")
    file = next(Path("t").glob("*.parquet"))
    damage(file)
    told = failure(backend, "t", "DELTA")
    assert said in told
    assert file.name in told


def test_a_delta_table_is_no_directory_of_parquet_files(backend):
    FRAME.write_delta("t")
    FRAME.write_delta("t", mode="overwrite")
    said = failure(backend, "t", "PARQUET")
    assert said.endswith("is a Delta table, whose files also hold rows that it has no more; use the format DELTA")


@pytest.mark.parametrize(
    ("old", "new"),
    [("7", "x"), ('"007"', 1), ("1.5", 1), ("true", 1), ("null", 1), ('{"x": 1, "y": 2}', {"x": 1}), ("3000", True)],
)
def test_appending_to_a_json_document_keeps_it_to_the_letter(backend, old, new):
    text = f' [ {{"a": {old}}},\n{{"a": null}}\n ]\n\n'
    Path("out.json").write_text(text)
    pl.DataFrame({"a": [new]}).write_parquet("in.parquet")
    made = node("n", "in.parquet", {"path": "out.json", "format": "JSON", "mode": "APPEND"})
    if "JSON" in ENGINES[backend].folders:
        with pytest.raises(SinkError, match=r"cannot append to 'out\.json': another engine has written it, as a file"):
            pipeline(backend, made).execute()
        assert Path("out.json").read_text() == text
        return
    pipeline(backend, made).execute()
    assert Path("out.json").read_text().startswith(text.strip()[:-1].rstrip())
    assert json.loads(Path("out.json").read_text()) == [{"a": json.loads(old)}, {"a": None}, {"a": new}]


@pytest.mark.parametrize("backend", [name for name, engine in ENGINES.items() if "JSON" not in engine.folders])
def test_appending_to_a_json_document_that_is_one_object_or_empty(backend, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pl.DataFrame({"a": [2]}).write_parquet("in.parquet")
    for text, found in (('{"a": 1}', [1, 2]), ("[]", [2]), (" \n", [2]), ("", [2])):
        Path("out.json").write_text(text)
        made = node("n", "in.parquet", {"path": "out.json", "format": "JSON", "mode": "APPEND"})
        pipeline(backend, made).execute()
        assert [row["a"] for row in json.loads(Path("out.json").read_text())] == found


@pytest.mark.parametrize("path", ["out/", "out"])
def test_partitions_of_any_text(backend, path):
    """POLARS wrote folders that it does not take for keys when it reads them."""
    values = ["a/b", None, "%", "a%2Fb", "é", "a=b", " ", "..", "x\ny", "a:b", "*", "a?b", "[x]", "null", '"', "#"]
    frame = pl.DataFrame({"k": values, "v": range(len(values))})
    frame.write_parquet("in.parquet")
    format_ = "PARQUET" if path.endswith("/") else "DELTA"
    sink = {"path": path, "format": format_, "writer_kwargs": {"partition_by": ["k"]}}
    pipeline(backend, node("n", "in.parquet", sink)).execute()
    source = models.FileDataSource(path="out", format=format_, dataframe_backend=backend)
    found = source.read().collect("polars").to_native()
    assert dict(found.select("v", "k").rows()) == dict(enumerate(values))


def refused(backend, frame, **sink):
    frame.write_parquet("in.parquet")
    with pytest.raises(LaktoryError) as caught:
        pipeline(backend, node("n", "in.parquet", sink)).execute()
    return str(caught.value).removeprefix("node 'n': ")


def test_what_sinks_cannot_hold(backend):
    all_of_them = {"path": "out/", "format": "PARQUET", "writer_kwargs": {"partition_by": ["a", "b"]}}
    assert "'partition_by' names every column, which leaves none for the files" in refused(
        backend, FRAME, **all_of_them
    )
    if backend == "POLARS":  # DUCKDB has no such names at all
        named = pl.DataFrame({"a": [1], "A": [2]})
        said = "EXCEL cannot hold the names 'a' and 'A', which differ only by case; rename one"
        assert refused(backend, named, path="out.xlsx", format="EXCEL").endswith(said)
        said = "EXCEL cannot hold a column without a name; rename it"
        assert refused(backend, pl.DataFrame({"": [1]}), path="out.xlsx", format="EXCEL").endswith(said)
