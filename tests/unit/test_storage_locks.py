"""Locks of targets: who is refused, who waits, and that nothing of them stays."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from laktory.errors import SinkError, TargetLockedError
from laktory.storage import Locks, open_staging, target_of

HOLDER = """
import sys, time
from laktory.storage import Locks, target_of
locks = Locks.acquire([target_of(path, "CSV") for path in sys.argv[3:]], owner=sys.argv[1])
print("held", flush=True)
time.sleep(float(sys.argv[2]))
locks.release()
"""


@pytest.fixture
def hold():
    """Start a process that holds targets for some seconds; it holds them when this returns."""
    started = []

    def start(seconds, *paths):
        command = [sys.executable, "-c", HOLDER, "run-7 of 'sales'", str(seconds), *map(str, paths)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_second_process_is_refused_and_told_by_whom(tmp_path, hold):
    process = hold(60, tmp_path / "a.csv")
    with pytest.raises(TargetLockedError, match=rf"a\.csv' is in use by run-7 of 'sales' \(process {process.pid}\)"):
        Locks.acquire([target_of(f"{tmp_path}/b.csv", "CSV"), target_of(f"{tmp_path}/a.csv", "CSV")], owner="me")
    assert not (tmp_path / ".laktory-b.csv").exists()


def test_second_process_waits(tmp_path, hold):
    hold(0.3, tmp_path / "a.csv")
    began = time.monotonic()
    with Locks.acquire([target_of(f"{tmp_path}/a.csv", "CSV")], owner="me", timeout=30):
        assert time.monotonic() - began < 20
    assert list(tmp_path.iterdir()) == []


def test_killed_holder_blocks_nobody_and_its_staged_data_goes(tmp_path, hold):
    target = target_of(f"{tmp_path}/new/a.csv", "CSV")
    process = hold(60, target.path)
    stale = Path(open_staging(target, "run-7", extension="csv").path)
    stale.write_text("half")
    process.kill()
    process.wait()
    with Locks.acquire([target], owner="me"):
        assert not stale.exists()
    assert list((tmp_path / "new").iterdir()) == []


def test_same_process_is_refused_too(tmp_path):
    target = target_of(f"{tmp_path}/a.csv", "CSV")
    with Locks.acquire([target, target], owner="first"):
        with pytest.raises(TargetLockedError, match="in use by first"):
            Locks.acquire([target], owner="second")
        with pytest.raises(TargetLockedError, match="in use by first"):
            Locks.acquire([target], owner="second", timeout=0.1)
    with Locks.acquire([target], owner="second"):
        pass


def test_lock_of_the_pipeline(tmp_path):
    extra = f"{tmp_path}/root/lock"
    with Locks.acquire([], owner="first", extra=extra), pytest.raises(TargetLockedError, match=r"pipeline .* first"):
        Locks.acquire([], owner="second", extra=extra)
    assert list(tmp_path.iterdir()) == []


def test_release_twice(tmp_path):
    locks = Locks.acquire([target_of(f"{tmp_path}/a.csv", "CSV")], owner="me")
    locks.release()
    locks.release()
    assert list(tmp_path.iterdir()) == []


RACE = """
import os, sys
from laktory.errors import TargetLockedError
from laktory.storage import Locks, target_of
target = target_of(sys.argv[1], "CSV")
mine = 0
while mine < 150:
    try:
        with Locks.acquire([target], owner="race", timeout=60):
            fd = os.open(sys.argv[1] + ".busy", os.O_CREAT | os.O_EXCL)  # fails if two are inside
            os.close(fd)
            os.unlink(sys.argv[1] + ".busy")
            mine += 1
    except TargetLockedError:
        pass
"""


def test_locks_that_come_and_go_never_overlap(tmp_path, monkeypatch):
    script = RACE.replace("import os, sys", "import os, sys, laktory.storage.locks as l; l._POLL = 0")
    path = f"{tmp_path}/sub/a.csv"
    (tmp_path / "sub").mkdir()
    racers = [subprocess.Popen([sys.executable, "-c", script, path]) for _ in range(2)]
    assert [racer.wait(120) for racer in racers] == [0, 0]
    assert list((tmp_path / "sub").iterdir()) == []


MANY = """
import os, resource, sys
from laktory.storage import Locks, target_of
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard if sys.argv[2] == "raise" else 256))
try:
    with Locks.acquire([target_of(f"{sys.argv[1]}/{n}.csv", "CSV") for n in range(300)], owner="many"):
        os.close(os.open(sys.argv[1], os.O_RDONLY))
        print("held")
except Exception as error:
    print(type(error).__name__, error)
"""


def test_more_targets_than_open_files(tmp_path):
    run = subprocess.run([sys.executable, "-c", MANY, tmp_path, "raise"], capture_output=True, text=True, check=True)
    assert run.stdout == "held\n", run.stderr
    run = subprocess.run([sys.executable, "-c", MANY, tmp_path, "fixed"], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("SinkError cannot lock"), run.stderr
    assert "Too many open files" in run.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_that_is_a_link_is_refused(tmp_path):
    (tmp_path / ".laktory-a.csv").mkdir()
    (tmp_path / ".laktory-a.csv/lock").symlink_to(tmp_path / "precious")
    with pytest.raises(SinkError, match="cannot lock"):
        Locks.acquire([target_of(f"{tmp_path}/a.csv", "CSV")], owner="me")
    assert not os.path.lexists(tmp_path / "precious")


def test_a_lock_that_somebody_removed_is_known_and_that_of_another_is_left_alone(tmp_path):
    target = target_of(f"{tmp_path}/a.csv", "CSV")
    first = Locks.acquire([target], owner="first", extra=f"{tmp_path}/lock")
    first.require([target])
    with pytest.raises(SinkError, match=r"leads to '.*b.csv' now, which is not what was locked"):
        first.require([target_of(f"{tmp_path}/b.csv", "CSV")])
    shutil.rmtree(tmp_path / ".laktory-a.csv")
    (tmp_path / "lock").unlink()
    with pytest.raises(SinkError, match=r"the lock of '.*a.csv' was removed meanwhile"):
        first.require([target])
    with Locks.acquire([target], owner="second", extra=f"{tmp_path}/lock") as second:
        staging = open_staging(target, "run", extension="csv")
        Path(staging.path).write_text("staged")
        first.release()
        assert Path(staging.path).exists()
        second.require([target])
        with pytest.raises(TargetLockedError, match="in use by second"):
            Locks.acquire([], owner="third", extra=f"{tmp_path}/lock")
    assert list(tmp_path.iterdir()) == []


FORKING = """
import os, sys, time
from laktory.storage import Locks, target_of
locks = Locks.acquire([target_of(sys.argv[1], "CSV")], owner="one", extra=sys.argv[2])
if not os.fork():
    locks.release()
    print("forked", flush=True)
    time.sleep(60)
time.sleep(60)
"""


def test_a_forked_child_holds_no_lock_of_its_parent(tmp_path):
    a, lock = f"{tmp_path}/a.csv", f"{tmp_path}/lock"
    command = [sys.executable, "-c", FORKING, a, lock]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout.readline() == "forked\n"
        with pytest.raises(TargetLockedError, match="in use by one"):
            Locks.acquire([target_of(a, "CSV")], owner="two")
        process.kill()
        process.wait()
        Locks.acquire([target_of(a, "CSV")], owner="two", extra=lock, timeout=5).release()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_at_any_line_leaves_no_lock(tmp_path):
    target, lock, left = target_of(f"{tmp_path}/a.csv", "CSV"), f"{tmp_path}/lock", 0

    def trace(frame, event, _):
        nonlocal left
        code = frame.f_code
        if not code.co_filename.endswith("/storage/locks.py") or code.co_name in ("__del__", "close"):
            return None
        left -= event == "line"
        if event == "line" and not left:
            raise KeyboardInterrupt
        return trace

    for number in range(1, 1000):
        left, before = number, sys.gettrace()
        sys.settrace(trace)
        try:
            with Locks.acquire([target], owner="one", extra=lock):
                pass
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        Locks.acquire([target], owner="two", extra=lock).release()
        if left > 0:
            break
    assert 50 < number < 500
    assert not (tmp_path / "lock").exists()
