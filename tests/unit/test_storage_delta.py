"""Delta tables: one version per commit, readable by others, old or new after a kill."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import deltalake
import narwhals as nw
import polars as pl
import pytest

from laktory.errors import SinkError
from laktory.storage import Locks, commit, commits, delta, delta_schema, exists, open_staging, prepare, target_of

NAIVE = datetime(2024, 1, 1, 1, 2, 3, 4)  # noqa: DTZ001 - that is the point


def stage(target, frame, mode="OVERWRITE", partition_by=(), run="run1"):
    staging = open_staging(target, run, extension="parquet")
    schema = delta_schema(nw.from_native(frame).schema)
    if partition_by:
        frame.write_parquet(pl.PartitionBy(staging.path, key=list(partition_by), include_key=False))
        for n, path in enumerate(sorted(Path(staging.path).rglob("*.parquet"))):
            path.rename(path.with_name(f"{staging.stem}-{n}.parquet"))
    else:
        frame.write_parquet(f"{staging.path}/{staging.stem}-0.parquet")
    files = [str(path) for path in Path(staging.path).rglob("*.parquet")]
    return prepare(staging, files, mode, rows=None, schema=schema, partition_by=partition_by)


def put(target, frame, mode="OVERWRITE", partition_by=()):
    with Locks.acquire([target], owner="test"):
        change = stage(target, frame, mode, partition_by)
        return commit([change], intent_path=f"{target.path}.intent.json", note={})[0]


def rows(target, version=None):
    frame = pl.read_delta(target.path, version=version)
    return sorted(frame.rows(named=True), key=str)


@pytest.fixture
def table(tmp_path):
    return target_of(f"{tmp_path}/new/t", "DELTA")


def test_versions_of_a_table(table):
    assert not exists(table)
    assert put(table, pl.DataFrame({"x": [1, 2]})).version == 0
    assert exists(table)
    assert put(table, pl.DataFrame({"x": [3]}), "APPEND").version == 1
    done = put(table, pl.DataFrame({"y": ["a"]}))
    assert done.version == 2
    assert pl.read_parquet(done.files).to_dict(as_series=False) == {"y": ["a"]}
    assert rows(table) == [{"y": "a"}]
    assert rows(table, 1) == [{"x": 1}, {"x": 2}, {"x": 3}]
    assert deltalake.DeltaTable(table.path).to_pyarrow_table().to_pylist() == [{"y": "a"}]
    assert deltalake.DeltaTable(table.path, version=1).count() == 3
    assert sorted(p.name for p in Path(table.path).parent.iterdir()) == ["t"]
    assert deltalake.DeltaTable(table.path, version=0).metadata().id == deltalake.DeltaTable(table.path).metadata().id


def test_all_types_come_back(table):
    frame = pl.DataFrame(
        {
            "i8": pl.Series([1, None], dtype=pl.Int8),
            "i16": pl.Series([1, None], dtype=pl.Int16),
            "i32": pl.Series([1, None], dtype=pl.Int32),
            "f32": pl.Series([1.5, None], dtype=pl.Float32),
            "f64": [0.1, float("nan")],
            "bool": [True, None],
            "bin": [b"\x00", None],
            "date": [date(2024, 1, 1), None],
            "naive": [NAIVE, None],
            "utc": [datetime(2024, 1, 1, tzinfo=UTC), None],
            "dec": pl.Series(["1.25", None]).cast(pl.Decimal(10, 2)),
            "list": [[1, None], None],
            "struct": [{"a": 1, "b": ["x"]}, {"a": None, "b": None}],
            "odd name é": ["ü", None],
        }
    )
    put(table, frame)
    put(table, frame, "APPEND")
    assert pl.read_delta(table.path).equals(pl.concat([frame, frame]), null_equal=True)
    assert pl.read_delta(table.path).schema == frame.schema
    assert deltalake.DeltaTable(table.path).protocol().reader_features == ["timestampNtz"]
    # deltalake's own writer accepts the table as well
    frame.write_delta(table.path, mode="append")
    assert put(table, frame, "APPEND").version == 3
    assert pl.read_delta(table.path).height == 8


def test_naive_timestamps_upgrade_a_table(table):
    pl.DataFrame({"x": [1]}).write_delta(table.path)
    put(table, pl.DataFrame({"x": [1], "at": [NAIVE]}), "APPEND")
    protocol = deltalake.DeltaTable(table.path).protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (3, 7)
    assert rows(table) == [{"x": 1, "at": None}, {"x": 1, "at": NAIVE}]


@pytest.mark.parametrize(
    "values",
    [["a b", "c%d", None, "é/x=1"], [1, None, 3, -4], [True, False, None, True], [date(2024, 1, 1), None, None, None]],
)
def test_partitions(table, values):
    frame = pl.DataFrame({"p": values, "x": [1, 2, 3, 4]}, strict=False)
    for mode in ("OVERWRITE", "APPEND"):
        put(table, frame, mode, ["p"])
    assert rows(table) == sorted([*frame.rows(named=True)] * 2, key=str)
    found = deltalake.DeltaTable(table.path).to_pyarrow_table().to_pylist()
    assert sorted(found, key=str) == rows(table)
    with pytest.raises(SinkError, match=r"partitioned by \['p'\], not by \[\]"):
        put(table, frame, "APPEND")
    put(table, frame)
    assert rows(table) == sorted(frame.rows(named=True), key=str)


@pytest.mark.parametrize(
    ("frame", "by", "message"),
    [
        ({"p": [""], "x": [1]}, "p", "empty text"),
        ({"p": [1.5], "x": [1]}, "p", "partitioned by 'p', which is double"),
        ({"p": [1], "x": [1]}, "q", "partitioned by 'q', which is not among the columns"),
    ],
)
def test_partitions_delta_cannot_hold(table, frame, by, message):
    with Locks.acquire([table], owner="test"):
        staging = open_staging(table, "r", extension="parquet")
        path = Path(staging.path, f"{by}=", f"{staging.stem}.parquet")
        path.parent.mkdir()
        pl.DataFrame(frame).write_parquet(path)
        schema = nw.from_native(pl.DataFrame(frame)).schema
        with pytest.raises(SinkError, match=message):
            prepare(staging, [str(path)], "OVERWRITE", rows=None, schema=schema, partition_by=[by])


def test_append_adds_columns_and_fills_missing_ones(table):
    put(table, pl.DataFrame({"x": [1], "y": ["a"]}))
    put(table, pl.DataFrame({"z": [2.5], "x": [2]}), "APPEND")
    assert pl.read_delta(table.path).columns == ["x", "y", "z"]
    assert rows(table) == [{"x": 1, "y": "a", "z": None}, {"x": 2, "y": None, "z": 2.5}]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"x": ["1"]}, "column 'x' is long in the Delta table .* and string in the rows"),
        ({"X": [1]}, "column 'X' differs from 'x' .* only in case"),
        ({"x": [[1]]}, "and array<long> in the rows"),
    ],
)
def test_append_of_another_type_is_refused(table, frame, message):
    put(table, pl.DataFrame({"x": [1]}))
    with pytest.raises(SinkError, match=message):
        put(table, pl.DataFrame(frame), "APPEND")
    assert rows(table) == [{"x": 1}]
    assert deltalake.DeltaTable(table.path).version() == 0
    assert not [p for p in Path(table.path).parent.iterdir() if p.name != "t"]


def test_tables_with_unknown_rules_are_refused(table):
    pl.DataFrame({"x": [1]}).write_delta(table.path)
    deltalake.DeltaTable(table.path).alter.add_constraint({"positive": "x > 0"})
    for mode in ("APPEND", "OVERWRITE"):
        with pytest.raises(SinkError, match="cannot write"):
            put(table, pl.DataFrame({"x": [-1]}), mode)
    assert rows(table) == [{"x": 1}]


def test_append_only_and_not_null_tables(table):
    import pyarrow as pa

    schema = pa.schema([pa.field("x", pa.int64(), nullable=False)])
    deltalake.write_deltalake(
        table.path, pa.table({"x": [1]}, schema=schema), configuration={"delta.appendOnly": "true"}
    )
    with pytest.raises(SinkError, match="use mode APPEND"):
        put(table, pl.DataFrame({"x": [1]}))
    with pytest.raises(SinkError, match="NOT NULL"):
        put(table, pl.DataFrame({"x": [1]}), "APPEND")


def test_folder_that_is_no_table(table):
    Path(table.path).mkdir(parents=True)
    Path(table.path, "mine.txt").touch()
    with pytest.raises(SinkError, match="no Delta table"):
        put(table, pl.DataFrame({"x": [1]}))


def test_another_writer_in_between(table):
    put(table, pl.DataFrame({"x": [1]}))
    with Locks.acquire([table], owner="test"):
        change = stage(table, pl.DataFrame({"x": [2]}), "APPEND")
        pl.DataFrame({"x": [3], "new": [4]}).write_delta(
            table.path, mode="append", delta_write_options={"schema_mode": "merge"}
        )
        assert commit([change], intent_path=f"{table.path}.intent", note={})[0].version == 2
    assert [row["x"] for row in rows(table)] == [1, 2, 3]
    with Locks.acquire([table], owner="test"):
        change = stage(table, pl.DataFrame({"x": [5]}))
        pl.DataFrame({"x": [6], "new": [4]}).write_delta(table.path, mode="append")
        commit([change], intent_path=f"{table.path}.intent", note={})
    assert rows(table) == [{"x": 5}]


def test_another_writer_made_the_change_impossible(table, tmp_path):
    file = target_of(f"{tmp_path}/a.csv", "CSV")
    put(table, pl.DataFrame({"x": [1]}))
    with Locks.acquire([table, file], owner="test"):
        staging = open_staging(file, "r", extension="csv")
        Path(staging.path).write_text("new")
        changes = [
            prepare(staging, [staging.path], "OVERWRITE", rows=None),
            stage(table, pl.DataFrame({"x": [2]}), "APPEND"),
        ]
        pl.DataFrame({"x": ["a"]}).write_delta(
            table.path, mode="overwrite", delta_write_options={"schema_mode": "overwrite"}
        )
        with pytest.raises(SinkError, match="column 'x' is string .*nothing was changed"):
            commit(changes, intent_path=f"{tmp_path}/intent", note={})
    assert rows(table) == [{"x": "a"}]
    assert len(list(Path(table.path).glob("run1-*.parquet"))) == 1  # of the first version
    assert not exists(file)
    with Locks.acquire([table, file], owner="next"):  # nothing is pending
        assert not exists(file)


def test_a_taken_version_is_never_overwritten(table):
    put(table, pl.DataFrame({"x": [1]}))
    log = f"{table.path}/_delta_log"
    entry = Path(log, f"{0:020d}.json").read_text(encoding="utf-8")
    assert not delta._publish(log, 0, [{"commitInfo": {}}])
    assert [(path.name, path.read_text(encoding="utf-8")) for path in Path(log).iterdir()] == [
        (f"{0:020d}.json", entry)
    ]


def test_checkpoints_keep_the_table_readable(table, monkeypatch):
    monkeypatch.setattr("laktory.storage.delta._CHECKPOINT_EVERY", 2)
    for n in range(5):
        put(table, pl.DataFrame({"x": [n]}), "APPEND")
    assert sorted(p.name for p in Path(table.path, "_delta_log").glob("*.parquet")) == [
        f"{n:020d}.checkpoint.parquet" for n in (2, 4)
    ]
    assert [row["x"] for row in rows(table)] == [0, 1, 2, 3, 4]
    deltalake.DeltaTable(table.path).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    put(table, pl.DataFrame({"x": [9]}))
    assert rows(table) == [{"x": 9}]


def test_what_a_killed_checkpoint_left_goes_with_the_next_run(table, monkeypatch):
    monkeypatch.setattr("laktory.storage.delta._CHECKPOINT_EVERY", 1)
    put(table, pl.DataFrame({"x": [1]}))
    log = Path(table.path, "_delta_log")
    of_another = log / f"{1:020d}.json#1"

    def killed(path, version):
        (log / f"{version:020d}.checkpoint.parquet#1").touch()
        (log / "_last_checkpoint#12").touch()
        of_another.touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("laktory.storage.delta._checkpoint", killed)
        put(table, pl.DataFrame({"x": [2]}), "APPEND")
    Locks.acquire([table], owner="next").release()
    assert [path for path in log.iterdir() if "#" in path.name] == [of_another]
    assert rows(table) == [{"x": 1}, {"x": 2}]


def test_delta_schema():
    schema = nw.Schema(
        {
            "a": nw.UInt8(),
            "b": nw.UInt64(),
            "c": nw.Datetime("ns"),
            "d": nw.Datetime("ms", "Europe/Paris"),
            "e": nw.Categorical(),
            "f": nw.Array(nw.UInt16(), 2),
            "g": nw.Struct({"x": nw.List(nw.UInt32())}),
        }
    )
    assert delta_schema(schema) == nw.Schema(
        {
            "a": nw.Int16(),
            "b": nw.Int64(),
            "c": nw.Datetime("us"),
            "d": nw.Datetime("us", "UTC"),
            "e": nw.String(),
            "f": nw.List(nw.Int32()),
            "g": nw.Struct({"x": nw.List(nw.Int64())}),
        }
    )


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"t": nw.Time()}, "column 't' of type Time"),
        ({"t": nw.List(nw.Duration("us"))}, "column 't' of type Duration"),
        ({"t": nw.Int128()}, "Decimal"),
        ({"t": nw.Unknown()}, "nothing but NULLs"),
        ({"a": nw.Int8(), "A": nw.Int8()}, "differ only in case"),
        ({}, "at least one column"),
    ],
)
def test_types_delta_cannot_hold(schema, message):
    with pytest.raises(SinkError, match=message):
        delta_schema(nw.Schema(schema))


def test_uncast_columns_are_refused(table):
    with Locks.acquire([table], owner="test"):
        staging = open_staging(table, "r", extension="parquet")
        with pytest.raises(SinkError, match=r"'x' UInt8 \(cast to Int16\)"):
            prepare(staging, [], "OVERWRITE", rows=None, schema=nw.Schema({"x": nw.UInt8()}))


# Commits in processes that die after their n-th change to the file system, for every n. The parent only
# imports: deltalake and polars start threads at their first call, and a fork would lose them.
KILLED = """
import os, sys
sys.path.insert(0, sys.argv[1])
import pyarrow.parquet
from test_storage_delta import pl, put, stage, target_of
from laktory import storage
top, mode, first = sys.argv[2:]

def counted(function):
    def call(*args, **kwargs):
        global left
        if left == 0:
            os._exit(9)
        left -= 1
        return function(*args, **kwargs)
    return call

def run(root):
    table = target_of(root + "/t", "DELTA")
    if first == "later":
        put(table, pl.DataFrame({"x": [1]}))
    locks = storage.Locks.acquire([table], owner="killed")
    change = stage(table, pl.DataFrame({"x": [2]}), mode)
    for name in ("replace", "rename", "fsync", "unlink", "rmdir", "mkdir", "link"):
        setattr(os, name, counted(getattr(os, name)))
    storage.commit([change], intent_path=root + "/intent", note={})
    locks.release()
    os._exit(0)

for left in range(100):
    child = os.fork()
    if not child:
        try:
            run(f"{top}/{left}")
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != 9:
        sys.exit(code)
"""


@pytest.mark.parametrize(("mode", "first"), [("APPEND", "later"), ("OVERWRITE", "first")])
def test_killed_anywhere_a_table_is_old_or_new(tmp_path, mode, first):
    subprocess.run([sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path), mode, first], check=True)
    old, new = (None, [2]) if first == "first" else ([1], [1, 2])
    outcomes = set()
    for root in tmp_path.iterdir():
        table = target_of(f"{root}/t", "DELTA")
        before = [row["x"] for row in rows(table)] if exists(table) else None
        pending = (root / "intent").exists()
        with Locks.acquire([table], owner="next"):
            after = [row["x"] for row in rows(table)] if exists(table) else None
        assert before in (old, new)
        assert after == (new if pending else before), root
        assert not (root / ".laktory-t").exists()
        outcomes.add((after == new, pending))
    assert outcomes == {(False, False), (True, True), (True, False)}


@pytest.mark.parametrize("theirs", [False, True])
def test_a_table_that_somebody_takes_away_in_the_middle_of_a_commit(table, theirs, caplog):
    put(table, pl.DataFrame({"x": [1]}))
    with Locks.acquire([table], owner="test"), pytest.MonkeyPatch.context() as patch:
        change = stage(table, pl.DataFrame({"x": [2]}), "APPEND")
        patch.setattr(commits, "_carry_out", lambda *_, **__: [])
        commit([change], intent_path=f"{table.path}.intent.json", note={})
        commits._move_in(change, again=False)
    shutil.rmtree(table.path)
    if theirs:
        pl.DataFrame({"x": [7]}).write_delta(table.path)
    Locks.acquire([table], owner="two").release()
    assert "cannot be finished" in caplog.text
    put(table, pl.DataFrame({"x": [3]}), "APPEND")
    assert rows(table) == [{"x": 3}, {"x": 7}] if theirs else [{"x": 3}]
