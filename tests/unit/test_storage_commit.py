"""Commits of files and directories, and what a kill at any point leaves."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from laktory import storage
from laktory.errors import SinkError, UnsupportedError
from laktory.storage import (
    Locks,
    append_line,
    commit,
    commits,
    discard,
    exists,
    open_staging,
    prepare,
    target_of,
    write_text,
)


def stage(target, content, run="run1", mode="OVERWRITE"):
    """A change that puts `content` (text, or name -> text for a directory) at a target."""
    staging = open_staging(target, run, extension="csv")
    if isinstance(content, str):
        Path(staging.path).write_text(content)
        return prepare(staging, [staging.path], mode, rows=(0, 1))
    paths = []
    for name, text in content.items():
        path = Path(staging.path, Path(name).parent, f"{staging.stem}-{Path(name).name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        paths.append(str(path))
    return prepare(staging, paths, mode, rows=None)


def put(root, target, content, **kwargs):
    with Locks.acquire([target], owner="test"):
        return commit([stage(target, content, **kwargs)], intent_path=f"{root}/intent.json", note={})[0]


def holds(folder):
    """Text of all data files of a folder, by subfolder."""
    return sorted((str(p.parent.relative_to(folder)), p.read_text()) for p in Path(folder).rglob("*.csv"))


def litter(root):
    return [str(p) for p in Path(root).rglob("*") if ".laktory" in str(p) or p.suffix == ".tmp"]


def test_file_is_created_with_its_parents_and_replaced(tmp_path):
    target = target_of(f"{tmp_path}/new/deep/a.csv", "CSV")
    assert not exists(target)
    done = put(tmp_path, target, "one")
    assert done.files == (str(tmp_path / "new/deep/a.csv"),)
    assert (done.rows, done.version) == ((0, 1), None)
    Path(target.path).chmod(0o640)
    put(tmp_path, target, "two")
    assert Path(target.path).read_text() == "two"
    assert stat.S_IMODE(Path(target.path).stat().st_mode) == 0o640
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.csv", "deep", "new"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.csv").write_text("old")
    (tmp_path / "a.csv").symlink_to("real/a.csv")
    put(tmp_path, target_of(f"{tmp_path}/a.csv", "CSV"), "new")
    assert (tmp_path / "a.csv").is_symlink()
    assert (tmp_path / "real/a.csv").read_text() == "new"


@pytest.mark.parametrize(
    ("old", "expected"),
    [(None, "2\n"), ("", "2\n"), ("a\n1\n", "a\n1\n2\n"), ("a\n1", "a\n1\n2\n")],
)
def test_append_to_a_file_continues_its_bytes(tmp_path, old, expected):
    target = target_of(f"{tmp_path}/a.csv", "CSV")
    if old is not None:
        Path(target.path).write_text(old)
    put(tmp_path, target, "2\n", mode="APPEND")
    assert Path(target.path).read_text() == expected
    assert litter(tmp_path) == []


@pytest.mark.parametrize("swap", [True, False])
def test_directory_is_replaced_then_appended_to(tmp_path, monkeypatch, swap):
    if not swap:  # as on a file system that cannot exchange two folders
        monkeypatch.setattr("laktory.storage.commits.exchange", lambda *_: False)
    target = target_of(f"{tmp_path}/out/", "CSV")
    put(tmp_path, target, {"a.csv": "1", "p=1/a.csv": "2"})
    assert exists(target)
    done = put(tmp_path, target, {"p=2/b.csv": "3"}, run="run2")
    assert holds(target.path) == [("p=2", "3")]
    assert [Path(f).read_text() for f in done.files] == ["3"]
    done = put(tmp_path, target, {"p=2/c.csv": "4", "d.csv": "5"}, run="run3", mode="APPEND")
    assert holds(target.path) == [(".", "5"), ("p=2", "3"), ("p=2", "4")]
    assert sorted(Path(f).read_text() for f in done.files) == ["4", "5"]
    assert litter(tmp_path) == []


def test_an_empty_directory_change_is_refused(tmp_path):
    target = target_of(f"{tmp_path}/out/", "CSV")
    with Locks.acquire([target], owner="test"), pytest.raises(SinkError, match="needs one file"):
        stage(target, {})


def test_discarded_staging_leaves_nothing(tmp_path):
    target = target_of(f"{tmp_path}/new/out/", "CSV")
    with Locks.acquire([target], owner="test"):
        staging = open_staging(target, "run/1", extension=".csv")
        Path(staging.path, "x").write_text("x")
        discard([staging])
        assert not Path(staging.path).exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("make", "path", "kind", "message"),
    [
        ("dir", "out", "CSV", "is a directory, not a file"),
        ("file", "out/", "CSV", "is a file, not a directory"),
        ("file", "out", "DELTA", "is a file, not a Delta table"),
        ("delta", "out/", "PARQUET", "is a Delta table"),
        ("pipe", "out", "CSV", "neither a file nor a directory"),
        (None, "./", "CSV", "holds the working directory"),
        (None, "..", "DELTA", "holds the working directory"),
        (None, "", "CSV", "is not a path"),
    ],
)
def test_targets_of_another_kind_are_refused(tmp_path, monkeypatch, make, path, kind, message):
    monkeypatch.chdir(tmp_path)
    if make == "file":
        Path("out").touch()
    elif make == "pipe":
        os.mkfifo("out")
    elif make:
        Path("out", "_delta_log" if make == "delta" else "").mkdir(parents=True)
    with pytest.raises(SinkError, match=message):
        target_of(path, kind)


def test_urls_are_refused():
    with pytest.raises(UnsupportedError, match="local"):
        target_of("s3://bucket/a.csv", "CSV")


def test_target_kinds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert target_of("a.csv", "CSV") == storage.Target(str(tmp_path / "a.csv"), "file")
    assert (
        target_of("a/", "CSV")
        == target_of("a", "CSV", directory=True)
        == storage.Target(str(tmp_path / "a"), "directory")
    )
    assert target_of("a/", "DELTA") == storage.Target(str(tmp_path / "a"), "delta")


def test_very_long_names_can_be_targets(tmp_path):
    target = target_of(f"{tmp_path}/{'x' * 250}", "CSV")
    put(tmp_path, target, "one")
    assert Path(target.path).read_text() == "one"


def test_ledger_lines_are_whole(tmp_path):
    ledger = tmp_path / "runs/ledger.jsonl"
    append_line(ledger, "one\n")
    append_line(ledger, "two")
    with ledger.open("a") as out:
        out.write('{"torn')
    append_line(ledger, "three")
    assert ledger.read_text() == "one\ntwo\nthree\n"


def test_text_is_replaced_in_one_step(tmp_path):
    write_text(tmp_path / "x/record.json", "é")
    write_text(tmp_path / "x/record.json", "new")
    assert [(p.name, p.read_text(encoding="utf-8")) for p in (tmp_path / "x").iterdir()] == [("record.json", "new")]


def test_damaged_intent_record_is_named(tmp_path):
    (tmp_path / "intent.json").write_text("{}")
    with pytest.raises(SinkError, match="not an intent record"):
        storage.recover(f"{tmp_path}/intent.json")


UNWRITABLE = """
import os, sys
import laktory.storage as s
from laktory.errors import SinkError
import laktory.storage.delta
if os.geteuid() == 0:
    os.setuid(65534)
os.chdir("/")
try:
    s.Locks.acquire([s.target_of(sys.argv[1], "CSV")], owner="test")
except SinkError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["a.csv", "sub/a.csv", "sub/out/"])
def test_unwritable_parent_is_named(tmp_path, name):
    for folder in (tmp_path, *(f for f in tmp_path.parents if f.name.startswith(("pytest-", "popen-")))):
        folder.chmod(0o755)
    parent = tmp_path / "locked"
    parent.mkdir(mode=0o555)
    run = subprocess.run(
        [sys.executable, "-c", UNWRITABLE, f"{parent}/{name}"], capture_output=True, text=True, check=True
    )
    assert "Permission denied" in run.stdout, run.stderr
    assert str(parent) in run.stdout
    assert list(parent.iterdir()) == []


def test_parent_that_is_a_file_is_named(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(SinkError, match="Not a directory"):
        Locks.acquire([target_of(f"{tmp_path}/a/b.csv", "CSV")], owner="test")


# Commits in processes that die after their n-th change to the file system, for every n.
KILLED = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from test_storage_commit import pair, put, stage
import laktory.storage as s
import laktory.storage.commits as commits
top, swap, mode = sys.argv[2:]

def counted(function):
    def call(*args, **kwargs):
        global left
        if left == 0:
            os._exit(9)
        left -= 1
        return function(*args, **kwargs)
    return call

def run(root):
    file, folder = pair(root)
    locks = s.Locks.acquire([file, folder], owner="killed")
    changes = [stage(file, "new\\n", mode=mode), stage(folder, {"x.csv": "new", "p=1/y.csv": "new"}, mode=mode)]
    commits.exchange = counted(commits.exchange if swap == "swap" else lambda first, second: False)
    for name in ("replace", "rename", "fsync", "unlink", "rmdir", "mkdir", "write", "link"):
        setattr(os, name, counted(getattr(os, name)))
    note = {"ledger": root + "/records/ledger", "ledger_line": "done"}
    s.commit(changes, intent_path=root + "/records/intent.json", note=note)
    locks.release()
    os._exit(0)

for left in range(200):
    root = f"{top}/{left}"
    put(root, pair(root)[0], "old\\n")
    put(root, pair(root)[1], {"z.csv": "old"})
    child = os.fork()
    if not child:
        try:
            run(root)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != 9:
        sys.exit(code)
"""


def pair(root):
    return target_of(f"{root}/f/a.csv", "CSV"), target_of(f"{root}/d/out/", "CSV")


@pytest.mark.parametrize(("swap", "mode"), [("swap", "OVERWRITE"), ("rename", "OVERWRITE"), ("swap", "APPEND")])
def test_killed_anywhere_everything_is_old_or_new(tmp_path, swap, mode):
    tests = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", KILLED, tests, str(tmp_path), swap, mode], check=True)
    append = mode == "APPEND"
    old = ("old\n", [(".", "old")])
    new = ("old\nnew\n" if append else "new\n", sorted([(".", "new"), ("p=1", "new"), *(old[1] if append else [])]))
    outcomes = set()
    for root in tmp_path.iterdir():
        file, folder = pair(root)
        assert Path(file.path).read_text() in {old[0], new[0]}
        if swap == "swap" and not append:
            assert holds(folder.path) in [old[1], new[1]]
        pending = (root / "records/intent.json").exists()
        # whoever comes next uses only one of the two targets
        with Locks.acquire([file if int(root.name) % 2 else folder], owner="next"):
            state = (Path(file.path).read_text(), holds(folder.path))
        assert state in ((new,) if pending else (old, new)), root
        ledger = root / "records/ledger"
        assert (ledger.read_text() if ledger.exists() else "") == ("done\n" if state == new else "")
        with Locks.acquire([file, folder], owner="sweep"):
            pass
        assert [path for path in litter(root) if not path.endswith("intent.json.tmp")] == []
        outcomes.add((state == new, pending))
    assert outcomes == {(False, False), (True, True), (True, False)}


def left_pending(root, changes, note):
    """What a run leaves that is killed as soon as its record is on disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commits, "_carry_out", lambda *_, **__: [])
        patch.setattr(commits, "is_rename", lambda _: False)  # records of one file too: older releases left such
        commit(changes, intent_path=f"{root}/intent.json", note=note)


def test_a_commit_that_fails_at_once_is_withdrawn(tmp_path):
    target = target_of(f"{tmp_path}/a.csv", "CSV")
    with Locks.acquire([target], owner="one"):
        change = stage(target, "new")
        Path(target.path).mkdir()  # somebody puts a folder in the place of the file
        with pytest.raises(SinkError, match=r"Is a directory.*nothing was changed"):
            commit([change], intent_path=f"{tmp_path}/intent.json", note={})
        assert not (tmp_path / "intent.json").exists()
    assert litter(tmp_path) == []
    Path(target.path).rmdir()
    put(tmp_path, target, "newer")
    assert Path(target.path).read_text() == "newer"


def test_a_pending_commit_moves_along_with_its_project(tmp_path):
    project = tmp_path / "one"
    target = target_of(f"{project}/out/a.csv", "CSV")
    put(project, target, "old")
    with Locks.acquire([target], owner="one"):
        left_pending(project, [stage(target, "new")], {"ledger": f"{project}/l", "ledger_line": "x"})
    shutil.copytree(project, tmp_path / "copy")
    copied = target_of(f"{tmp_path}/copy/out/a.csv", "CSV")
    Locks.acquire([copied], owner="two").release()
    assert Path(copied.path).read_text() == "new"
    assert (tmp_path / "copy/l").read_text() == "x\n"
    assert Path(target.path).read_text() == "old"
    project.rename(tmp_path / "moved")
    Locks.acquire([target_of(f"{tmp_path}/moved/out/a.csv", "CSV")], owner="three").release()
    assert (tmp_path / "moved/out/a.csv").read_text() == "new"
    assert litter(tmp_path) == []


@pytest.mark.parametrize("name", ["a.csv", "d/"])
def test_a_commit_whose_data_and_target_are_gone_is_set_aside(tmp_path, name, caplog):
    target = target_of(f"{tmp_path}/out/{name}", "CSV")
    content = "new" if target.kind == "file" else {"x.csv": "new"}
    with Locks.acquire([target], owner="one"):
        left_pending(tmp_path, [stage(target, content)], {"ledger": f"{tmp_path}/l", "ledger_line": "x"})
    shutil.rmtree(tmp_path / "out")
    put(tmp_path, target, content)
    assert "cannot be finished" in caplog.text
    assert exists(target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["intent.json.lost", "out"]
    assert litter(tmp_path) == []


@pytest.mark.parametrize("mode", ["APPEND", "OVERWRITE"])
@pytest.mark.parametrize("theirs", [None, "theirs"])
def test_a_directory_that_somebody_takes_away_in_the_middle_of_a_commit(tmp_path, mode, theirs, caplog):
    target = target_of(f"{tmp_path}/out/", "CSV")
    put(tmp_path, target, {"x.csv": "old"})
    with Locks.acquire([target], owner="one"):
        change = stage(target, {"x.csv": "new", "y.csv": "new"}, mode=mode)
        left_pending(tmp_path, [change], {"ledger": f"{tmp_path}/l", "ledger_line": "x"})
        commits._apply(change, again=False)
    shutil.rmtree(target.path)
    if theirs:
        Path(target.path).mkdir()
        Path(target.path, "z.csv").write_text(theirs)
    Locks.acquire([target], owner="two").release()
    assert "cannot be finished" in caplog.text
    assert not (tmp_path / "l").exists()
    assert holds(target.path) == ([(".", "theirs")] if theirs else [])
    put(tmp_path, target, {"x.csv": "newer"})
    assert holds(target.path) == [(".", "newer")]
    assert litter(tmp_path) == []


def test_what_is_left_of_a_commit_is_finished_when_a_part_is_gone(tmp_path, caplog):
    kept, gone = target_of(f"{tmp_path}/a.csv", "CSV"), target_of(f"{tmp_path}/out/b.csv", "CSV")
    with Locks.acquire([kept, gone], owner="one"):
        left_pending(
            tmp_path, [stage(kept, "new"), stage(gone, "new")], {"ledger": f"{tmp_path}/l", "ledger_line": "x"}
        )
    shutil.rmtree(tmp_path / "out")
    Locks.acquire([kept], owner="two").release()
    assert Path(kept.path).read_text() == "new"
    assert "what it had staged for" in caplog.text
    assert (tmp_path / "l").read_text() == "x\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "intent.json.lost", "l"]


def test_a_mount_point_is_no_directory_target():
    mounts = [path for path in ("/proc", "/dev", "/sys") if os.path.ismount(path)]
    if mounts:  # there is one on every Linux and macOS
        with pytest.raises(SinkError, match="mount point"):
            target_of(f"{mounts[0]}/", "CSV")


def test_a_name_too_long_for_the_file_system_is_told(tmp_path):
    with pytest.raises(SinkError, match="File name too long"):
        target_of(f"{tmp_path}/{'x' * 300}.csv", "CSV")


def test_failed_commit_is_finished_by_the_next(tmp_path):
    file, folder = target_of(f"{tmp_path}/a.csv", "CSV"), target_of(f"{tmp_path}/d/out/", "CSV")
    with Locks.acquire([file, folder], owner="one"):
        staging = open_staging(file, "run1", extension="csv")
        Path(staging.path).write_text("new")
        changes = [stage(folder, {"x.csv": "new"}), prepare(staging, [staging.path], "OVERWRITE", rows=None)]
        Path(file.path).mkdir()  # somebody puts a folder in the place of the file
        with pytest.raises(SinkError, match=r"Is a directory.*finishes this commit"):
            commit(changes, intent_path=f"{tmp_path}/intent.json", note={})
        discard([staging])  # what a caller does after any failure
    Path(file.path).rmdir()
    put(tmp_path, folder, {"y.csv": "newer"}, run="run2")
    assert Path(file.path).read_text() == "new"
    assert holds(folder.path) == [(".", "newer")]
    assert not (tmp_path / "intent.json").exists()


def test_failed_record_changes_nothing(tmp_path):
    target = target_of(f"{tmp_path}/a.csv", "CSV")
    (tmp_path / "root").touch()
    with Locks.acquire([target], owner="one"):
        with pytest.raises(SinkError, match="Not a directory"):
            commit([stage(target, "new")], intent_path=f"{tmp_path}/root/intent.json", note={})
        assert not exists(target)
    assert litter(tmp_path) == []


def test_one_file_is_committed_by_its_rename(tmp_path, monkeypatch):
    target, ledger = target_of(f"{tmp_path}/a.csv", "CSV"), tmp_path / "l"
    seen = []
    rename = os.replace
    monkeypatch.setattr(os, "replace", lambda *paths: (seen.append(ledger.read_text()), rename(*paths)))
    with Locks.acquire([target], owner="one"):
        note = {"ledger": str(ledger), "ledger_line": "x", "undone_line": "y"}
        commit([stage(target, "new")], intent_path=f"{tmp_path}/intent.json", note=note)
    assert seen == ["x\n"]
    assert ledger.read_text() == "x\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "l"]


def test_a_commit_of_nothing_has_no_record(tmp_path, monkeypatch):
    monkeypatch.setattr(commits, "write_text", None)
    assert commit([], intent_path=f"{tmp_path}/intent.json", note={"ledger": f"{tmp_path}/l", "ledger_line": "x"}) == []
    assert [path.name for path in tmp_path.iterdir()] == ["l"]
    assert (tmp_path / "l").read_text() == "x\n"


def test_recover_finishes_a_record(tmp_path):
    target = target_of(f"{tmp_path}/a.csv", "CSV")
    with Locks.acquire([target], owner="one"):
        left_pending(tmp_path, [stage(target, "new")], {"ledger": f"{tmp_path}/l", "ledger_line": "x"})
    storage.recover(f"{tmp_path}/intent.json")
    assert Path(target.path).read_text() == "new"
    assert (tmp_path / "l").read_text() == "x\n"
    assert litter(tmp_path) == []
    storage.recover(f"{tmp_path}/intent.json")
