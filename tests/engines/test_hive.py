"""Columns in the names of folders: the same values and types on every engine, none lost and none overruled."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import narwhals as nw
import polars as pl
import pytest
from building import node, pipeline
from test_formats import read, refused

from laktory.engines.capabilities import ENGINES
from laktory.errors import SinkError, SourceError


def tree(*values, base="lake", kind="PARQUET", **columns):
    """One file for each folder `k=…`."""
    for index, value in enumerate(values):
        Path(f"{base}/k={value}").mkdir(parents=True)
        frame = pl.DataFrame({"v": [index], **{name: [given[index]] for name, given in columns.items()}})
        path = f"{base}/k={value}/p.{'ipc' if kind == 'IPC' else 'parquet'}"
        frame.write_ipc(path) if kind == "IPC" else frame.write_parquet(path)


TYPES = [
    (("1", "2"), pl.Int64, [1, 2]),
    (("01", "2"), pl.String, ["01", "2"]),
    (("true", "false"), pl.Boolean, [True, False]),
    (("1.5", "2"), pl.Float64, [1.5, 2.0]),
    (("2024-01-01", "2024-02-29"), pl.Date, [dt.date(2024, 1, 1), dt.date(2024, 2, 29)]),
    (("2024-01-01", "2024-02-30"), pl.String, ["2024-01-01", "2024-02-30"]),
    (("2024-01-01 10%3A00%3A00",), pl.String, ["2024-01-01 10:00:00"]),
    (("", "a"), pl.String, ["", "a"]),
    (("", "1"), pl.String, ["", "1"]),
    (("__HIVE_DEFAULT_PARTITION__", "1"), pl.Int64, [None, 1]),
    (("99999999999999999999", "1"), pl.String, ["99999999999999999999", "1"]),
    (("a%2Fb", "c d"), pl.String, ["a/b", "c d"]),
]


@pytest.mark.parametrize("kind", ["PARQUET", "IPC", "PYARROW"])
@pytest.mark.parametrize(("folders", "dtype", "values"), TYPES)
def test_types_of_keys(session, kind, folders, dtype, values):
    tree(*folders, base="o=7/lake", kind=kind)
    back = read(session, "o=7/lake", kind).sort("v")
    assert dict(back.schema) == {"v": pl.Int64, "k": dtype}
    assert back["k"].to_list() == values


@pytest.mark.parametrize("kind", ["PARQUET", "IPC", "PYARROW"])
def test_keys_with_a_glob(session, kind):
    tree("1", "2", kind=kind)
    for path in ("lake/*/*", "lake/k=*/p.*", "lake/**/p.*"):
        assert read(session, path, kind).sort("v").rows() == [(0, 1), (1, 2)]


@pytest.mark.parametrize("kind", ["PARQUET", "IPC", "PYARROW"])
def test_declared_keys(session, kind):
    tree("1", "2", kind=kind)
    for dtype, values in ((nw.String(), ["1", "2"]), (nw.Int16(), [1, 2]), (nw.Float64(), [1.0, 2.0])):
        back = read(session, "lake", kind, schema=nw.Schema({"k": dtype, "v": nw.Int64()})).sort("v")
        assert back.columns == ["k", "v"]
        assert back["k"].to_list() == values
    assert "'kk'" in refused(session, "lake", kind, schema=nw.Schema({"kk": nw.String()}))


@pytest.mark.parametrize("kind", ["PARQUET", "IPC", "PYARROW"])
@pytest.mark.parametrize(
    ("folder", "dtype", "value"),
    [
        ("007", nw.Int64(), 7),
        ("1.50", nw.Decimal(10, 1), Decimal("1.5")),
        ("True", nw.Boolean(), True),
        ("10%3A00", nw.Time(), dt.time(10)),
        ("2024-01-01T10%3A00%3A00+02%3A00", nw.Datetime(), dt.datetime.fromisoformat("2024-01-01T08:00")),
        ("abc", nw.Int64(), None),
        ("1.5", nw.Int64(), None),
        ("0x10", nw.Int64(), None),
        ("300", nw.Int8(), None),
        ("yes", nw.Boolean(), None),
        ("1", nw.Boolean(), None),
        ("1.555", nw.Decimal(10, 2), None),
        ("2024-1-1", nw.Date(), None),
        ("2024-02-30", nw.Date(), None),
        ("x", nw.Time(), None),
    ],
)
def test_a_declared_key_holds_only_values_of_its_type(session, kind, folder, dtype, value):
    tree(folder, kind=kind)
    schema = nw.Schema({"v": nw.Int64(), "k": dtype})
    if isinstance(dtype, nw.Time) and "Time" in session.capabilities.unheld:
        assert " no Time" in (message := refused(session, "lake", kind, schema=schema)) or "type Time" in message
    elif value is None:
        message = refused(session, "lake", kind, schema=schema)
        assert f"lake/k={folder}/p." in message
        assert f"{folder!r} is no " in message
    else:
        assert read(session, "lake", kind, schema=schema)["k"].to_list() == [value]


@pytest.mark.parametrize("kind", ["PARQUET", "IPC", "PYARROW"])
def test_keys_that_the_files_hold_too(session, kind):
    tree("1", "2", kind=kind, k=[1.0, 2.0])
    back = read(session, "lake", kind).sort("v")
    assert dict(back.schema) == {"v": pl.Int64, "k": pl.Float64}
    assert back["k"].to_list() == [1.0, 2.0]


@pytest.mark.parametrize("kind", ["PARQUET", "IPC", "PYARROW"])
@pytest.mark.parametrize("inside", [[1, 3], [1, None], ["1", "02"]])
def test_keys_that_the_files_hold_otherwise(session, kind, inside):
    tree("1", "2", kind=kind, k=inside)
    message = refused(session, "lake", kind)
    assert "lake/k=2/p." in message
    assert "column 'k'" in message


def test_folders_of_different_keys(session):
    tree("1")
    Path("lake/j=2").mkdir()
    pl.DataFrame({"v": [1]}).write_parquet("lake/j=2/p.parquet")
    assert "lake/j=2/p.parquet" in refused(session, "lake", "PARQUET")


@pytest.mark.parametrize(
    "keys",
    [
        pl.Series(["1", "2"]),
        pl.Series(["2024-01-01", None]),
        pl.Series([1.0, 2.0], dtype=pl.Float32),
        pl.Series([1, -2], dtype=pl.Int8),
        pl.Series([dt.time(1, 2, 3), dt.time(0)]),
        pl.Series(["2024-01-01T00:00:00", "2024-01-01T01:02:03.000004"]).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f"),
        pl.Series([Decimal("1.10"), Decimal(2)], dtype=pl.Decimal(10, 2)),
    ],
    ids=lambda keys: str(keys.dtype),
)
def test_a_node_alone_reads_partitions_as_a_whole_run_does(backend, keys):
    """Names of folders are text: what they held is in the ledger."""
    pl.DataFrame({"v": [1, 2], "k": keys, "z": ["p", "q"]}).write_parquet("in.parquet")
    sink = {"path": "lake/", "format": "PARQUET", "writer_kwargs": {"partition_by": ["k"]}}
    made = pipeline(backend, node("a", "in.parquet", sink), node("b", "a", "b.parquet"))
    if str(keys.dtype) in ENGINES[backend].unheld:
        with pytest.raises(SourceError, match=f"column 'k' has the type {keys.dtype}, which {backend} cannot hold"):
            made.execute()
        return
    made.execute()
    whole = pl.read_parquet("b.parquet").sort("v")
    assert whole["k"].to_list() == keys.to_list()
    made.execute(selects=["b"])
    assert pl.read_parquet("b.parquet").sort("v").equals(whole)
    assert pl.read_parquet("b.parquet").schema == whole.schema


def partitioned(backend, keys, format_="PARQUET"):
    pl.DataFrame({"v": list(range(len(keys))), "k": keys}).write_parquet("in.parquet")
    sink = {"path": "lake/", "format": format_, "writer_kwargs": {"partition_by": ["k"]}}
    pipeline(backend, node("a", "in.parquet", sink)).execute()


@pytest.mark.parametrize("format_", ["PARQUET", "DELTA"])
@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical])
@pytest.mark.parametrize("others", [[], [None]])
def test_a_text_that_means_null_in_names_of_folders_is_refused(backend, format_, dtype, others):
    """Beside a NULL, one of both rows would be overwritten."""
    keys = pl.Series(["a", "__HIVE_DEFAULT_PARTITION__", *others], dtype=dtype)
    with pytest.raises(SinkError, match="the column 'k' of 'partition_by' holds '__HIVE_DEFAULT_PARTITION__', which"):
        partitioned(backend, keys, format_)
    assert not list(Path().glob("lake/k=*"))


def test_two_values_of_one_folder_lose_no_row(backend):
    keys = pl.Series([1, 2, 1_000_000_001]).cast(pl.Time)  # nanoseconds
    try:
        partitioned(backend, keys)
    except SourceError as error:
        assert "Time" in ENGINES[backend].unheld
        assert "column 'k' has the type Time" in str(error)
    except SinkError as error:
        assert "two values of 'partition_by' have one folder, 'k=00:00:00'" in str(error)
    else:
        assert sorted(pl.read_parquet("lake/**/*.parquet", hive_partitioning=False)["v"]) == [0, 1, 2]


@pytest.mark.parametrize("value", [b"a", [1], {"a": 1}])
def test_types_that_no_name_of_a_folder_holds(backend, value):
    with pytest.raises(SinkError, match="names the column 'k' of type .*, which no folder's name holds; cast it"):
        partitioned(backend, pl.Series([value]))
