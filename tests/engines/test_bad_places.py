"""Places that cannot be read or written, and files that change meanwhile: what no repository can hold."""

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
import pytest

from laktory.engines.capabilities import ENGINES
from laktory.errors import LaktoryError

from .building import node, pipeline

FRAME = pl.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]})
WRITERS = {
    "CSV": ("csv", FRAME.write_csv),
    "JSON": ("json", FRAME.write_json),
    "JSONL": ("jsonl", FRAME.write_ndjson),
    "PARQUET": ("parquet", FRAME.write_parquet),
    "IPC": ("ipc", FRAME.write_ipc),
    "TEXT": ("txt", lambda path: Path(path).write_text("x\ny\nz\n")),
    "AVRO": ("avro", FRAME.write_avro),
    "EXCEL": ("xlsx", FRAME.write_excel),
}


def failure(backend, source, *sinks):
    with pytest.raises(LaktoryError) as caught:
        pipeline(backend, node("n", source, *(sinks or ["out.parquet"]))).execute()
    assert caught.value.exit_code == 1
    return str(caught.value).removeprefix("node 'n': ")


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(path)


PIPE = "is no file but a pipe, socket or device, which cannot be read"


@pytest.mark.parametrize("format_", list(WRITERS))
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, PIPE),
        (a_socket, PIPE),
        (lambda path: Path(path).symlink_to("/dev/zero"), PIPE),
        (lambda path: Path(path).symlink_to("nowhere"), "is a link to 'nowhere', which leads to nothing"),
        (lambda path: Path(path).symlink_to(path), "is a link to {path!r}, which leads to nothing"),
        (lambda path: Path(path).mkdir(), "holds no file; "),
    ],
    ids=["pipe", "socket", "device", "dangling link", "link to itself", "folder"],
)
def test_what_is_no_file(backend, format_, make, said):
    path = f"in.{WRITERS[format_][0]}"
    make(path)
    assert failure(backend, {"path": path, "format": format_}).startswith(f"{path!r} {said.format(path=path)}")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, PIPE),
        (lambda path: Path(path).symlink_to("nowhere"), "cannot be read: No such file or directory"),
        (lambda path: Path(path).symlink_to(Path(path).name), "cannot be read: Too many levels of symbolic links"),
        (
            lambda _: Path("d/0.csv").rename(os.fsdecode(b"d/\xff.csv")),
            "the name of this file is no UTF-8 text; rename it",
        ),
    ],
    ids=["pipe", "dangling link", "link to itself", "name"],
)
def test_one_bad_entry_of_a_directory(backend, make, said):
    Path("d").mkdir()
    FRAME.write_csv("d/0.csv")
    FRAME.write_csv("d/2.csv")
    make("d/1.csv")
    assert said in failure(backend, {"path": "d", "format": "CSV"})


@pytest.mark.parametrize("format_", ["CSV", "JSONL", "PARQUET"])
@pytest.mark.parametrize("stem", ["a\nb", "~a", "a*b", "a[1]", "a?b", "{a}", "$A", "a'b", 'a"b', "a#b", "a%20b", " a"])
def test_names_of_all_kinds(backend, format_, stem):
    ending, write = WRITERS[format_]
    write(f"./{stem}.{ending}")
    target = f"o{stem}".replace("*", "")  # no sink's path is a pattern
    made = node("n", {"path": f"{stem}.{ending}", "format": format_}, {"path": target, "format": "PARQUET"})
    pipeline(backend, made).execute()
    assert pl.read_parquet(f"./{target}", glob=False).height == 3


@pytest.mark.parametrize(
    ("path", "make", "said"),
    [
        ("p/out.parquet", lambda: Path("p").touch(), "cannot write 'p/out.parquet': Not a directory ('p' is a file)"),
        ("out.parquet", lambda: Path("out.parquet").mkdir(), "'out.parquet' is a directory, not a file; "),
        ("o/", lambda: Path("o").touch(), "'o/' is a file, not a directory; "),
        ("out.parquet", lambda: os.mkfifo("out.parquet"), "'out.parquet' is neither a file nor a directory "),
        ("/dev/null", lambda: None, "'/dev/null' is neither a file nor a directory "),
    ],
)
def test_targets_of_another_kind(backend, path, make, said):
    FRAME.write_parquet("in.parquet")
    make()
    if Path(path).is_dir() and "PARQUET" in ENGINES[backend].folders:
        pipeline(backend, node("n", "in.parquet", {"path": path, "format": "PARQUET"})).execute()
        assert pl.read_parquet(path).equals(FRAME)
        return
    assert failure(backend, "in.parquet", {"path": path, "format": "PARQUET"}).startswith(said)


def test_a_link_to_nothing_is_written_where_it_leads(backend):
    FRAME.write_parquet("in.parquet")
    Path("out.parquet").symlink_to("below/real.parquet")
    pipeline(backend, node("n", "in.parquet", "out.parquet")).execute()
    assert Path("out.parquet").is_symlink()
    assert pl.read_parquet("below/real.parquet").equals(FRAME)


CHILD = """
import logging, os, sys
import polars as pl
from laktory.models import Pipeline
logging.disable()
def run(source, sink, name):
    kind = source.rpartition(".")[2].upper()
    node = {"name": "n", "source": {"path": source, "format": kind}, "sinks": [{"path": sink, "format": "PARQUET"}]}
    p = Pipeline.model_validate({"name": name, "dataframe_backend": sys.argv[1], "root_path": name, "nodes": [node]})
    try:
        p.execute()
    except Exception as error:
        print(error)
frame = pl.DataFrame({"a": [1]})
writers = {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "json": frame.write_json, "ipc": frame.write_ipc,
           "parquet": frame.write_parquet}
for kind, write in writers.items():
    write(f"in.{kind}")
    run(f"in.{kind}", f"out.{kind}.parquet", f"first.{kind}")  # whatever is imported, is
os.mkdir("closed", 0o755)
os.rename("out.csv.parquet", "closed/out.parquet")
os.mkdir("hidden")
for kind in writers:
    os.chmod(f"in.{kind}", 0)
os.chmod("hidden", 0)
os.chmod(".", 0o777)
frame.write_parquet("open.parquet")
os.chmod("open.parquet", 0o644)
if not os.getuid():
    os.setuid(65534)
else:
    os.chmod("closed", 0o555)
for kind in writers:
    run(f"in.{kind}", "out.parquet", f"second.{kind}")
run("open.parquet", "closed/out.parquet", "third")
"""


def test_no_permission(backend):
    """As another user: the suite may run as the one whom nothing is forbidden."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        ran = subprocess.run(
            [sys.executable, "-c", CHILD, backend], cwd=folder, capture_output=True, text=True, check=False, timeout=240
        )
        said = ran.stdout.splitlines()
        kinds = ["csv", "jsonl", "json", "ipc", "parquet"]
        assert said[:5] == [f"node 'n': 'in.{kind}' cannot be read: Permission denied" for kind in kinds], ran.stderr
        assert "cannot lock" in said[5] or "cannot write" in said[5]
        assert "Permission denied" in said[5]
        assert pl.read_parquet(f"{folder}/closed/out.parquet").rows() == [("1",)]


@pytest.mark.parametrize("format_", ["CSV", "JSONL", "PARQUET", "IPC", "AVRO"])
@pytest.mark.parametrize("change", ["grow", "shrink", "replace"])
def test_a_file_that_changes_while_it_is_read(backend, monkeypatch, format_, change):
    """After it was looked at, and before it is read to its end."""
    from laktory.runtime import node as node_room

    ending, write = WRITERS[format_]
    path = Path(f"in.{ending}")
    write(str(path))
    Path("out.parquet").write_bytes(b"old")
    read = node_room.read

    def changed(*args, **kwargs):
        frame = read(*args, **kwargs)
        data = path.read_bytes()
        if change == "grow":
            with path.open("ab") as opened:
                opened.write(data)
        elif change == "shrink":
            os.truncate(path, len(data) // 2)
        else:
            path.with_suffix(".new").write_bytes(data)
            path.with_suffix(".new").rename(path)
        return frame

    monkeypatch.setattr(node_room, "read", changed)
    with pytest.raises(LaktoryError) as caught:
        pipeline(backend, node("n", {"path": str(path), "format": format_}, "out.parquet")).execute()
    assert repr(str(path)) in str(caught.value)
    assert Path("out.parquet").read_bytes() == b"old"
