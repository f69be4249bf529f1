"""Full, closed and read-only places, no more file handles: earlier output intact, told why, mended by the next run.

Where the system lets a test mount file systems of its own, they are real; a limit of the process is everywhere.
"""

import pytest
import room
from inside import mounts_allowed, own_process

from laktory.engines.capabilities import ENGINES

PATHS = {name: path for name, (_, path) in room.targets().items()}
FEW = ["CSV file", "JSONL folder", "PARQUET folder", "AVRO file", "EXCEL file", "DELTA"]
NO_SPACE = "No space left on device"


@pytest.fixture(scope="module")
def real():
    return mounts_allowed()


def check(found, rows, *reasons):
    """A failed run and the next one."""
    assert found["code"] == 1, found
    assert found["same"], found
    assert found["litter"] == [], found
    assert any(reason in found["err"] for reason in reasons), found
    for internal in ("Async", "os error", "Errno", "exception", "Traceback"):
        assert internal not in found["err"], found
    # a library may mutter about the file it could not close
    assert "error: " not in found["next_err"], found
    assert (found["next"], found["rows"], found["left"]) == (0, rows, []), found


@pytest.mark.parametrize("backend", list(ENGINES))
def test_no_space_for_what_is_staged(backend, real):
    cases = own_process("room", "full", backend, ["IPC folder"] if real else list(PATHS), False)
    if real:
        cases += own_process("room", "full", backend, list(PATHS), True)
    assert {found["form"] for found in cases} == ({"limit", "file system"} if real else {"limit"})
    for found in cases:
        words = {"limit": "File too large", "file system": NO_SPACE}[found["form"]]
        check(
            found, room.ROWS, f"cannot write '{PATHS[found['case']]}': {words}", f"temporary files in '/tmp': {words}"
        )
        assert "nodes[0].sinks[0].path" in found["err"] or "temporary files" in found["err"]


def test_no_space_for_temporary_files(real):
    if real:
        found = own_process("room", "full_of_temporary_files", "POLARS")
        check(found, room.ROWS, f"/temporary': {NO_SPACE}")
        assert "cannot write temporary files in '" in found["err"]
    else:
        [found] = own_process("room", "full", "POLARS", ["JSON file"], False)
        check(found, room.ROWS, "File too large")


@pytest.mark.parametrize("backend", list(ENGINES))
def test_no_space_at_any_step(backend, real):
    """Locks, ledger, intermediate files, pointers, intent, log entry, record."""
    reason = NO_SPACE if real else "File too large"
    if real:
        cases = own_process("room", "sweep", backend, "pages", [*range(9)])
        cases += own_process("room", "sweep", backend, "files", [*range(9)])
    else:
        cases = own_process("room", "sweep", backend, "size", [0, 40, 100, 400, 700, 1000, 1500, 2000, 3000])
    new = sorted([0, 1, 2, *range(200)])
    for found in cases:
        assert found["seen"] in (found["old"], new), found
        assert found["code"] in (0, 1), found
        assert found["code"] == 0 or reason in found["err"], found
        for internal in ("Async", "os error", "Errno", "exception", "Traceback"):
            assert internal not in found["err"], found
        assert (found["next"], found["next_err"], found["rows"], found["left"]) == (0, "", new, []), found
    assert len({(found["case"], found["step"]) for found in cases if found["code"]}) > 12


@pytest.mark.parametrize("backend", list(ENGINES))
def test_places_that_may_not_be_written_to(backend, real):
    reasons = {"permission": "Permission denied", "read-only": "Read-only file system"}
    cases = own_process("room", "closed", backend)
    assert {found["form"] for found in cases} == ({"permission", "read-only"} if real else {"permission"})
    for found in cases:
        check(found, 3, f"{PATHS[found['case']].rstrip('/')}': {reasons[found['form']]}")


@pytest.mark.parametrize("backend", list(ENGINES))
def test_no_more_file_handles(backend):
    """Where hardly any are left no run begins: libraries end the process when they get none."""
    cases = own_process("room", "handles", backend, ["CSV file", "DELTA"], [0, 6, 12, 30, 60])
    for found in cases:
        if found["free"] > 50:
            assert (found["code"], found["err"]) == (0, "")
        elif not found["free"] and found["code"] != 1:
            # not even the definition can be read, unless something gave a descriptor back meanwhile
            assert (found["code"], found["same"], found["next"]) == (2, True, 0), found
            assert found["err"] == "error: file 'pipeline.yaml' cannot be read: too many open files\n"
        else:
            check(found, 3, "fewer than 48 are left: Too many open files; raise the limit with `ulimit -n`")


@pytest.mark.parametrize("backend", list(ENGINES))
def test_sources_that_cannot_be_read_to_their_end(backend):
    for found in own_process("room", "broken_sources", backend):
        assert (found["code"], found["same"], found["litter"]) == (1, True, []), found
        assert f"in.{room.FILES[found['case']]}" in found["err"], found
        assert "Traceback" not in found["err"], found
        if "next" in found:
            assert (found["next"], found["next_err"], found["rows"]) == (0, "", 2 * room.ROWS), found
