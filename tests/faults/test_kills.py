"""Kill -9 after calls that change the file system, here every tenth of a run; `make soak` takes every one."""

import pytest
from killing import CHECKS, Killing
from projects import NEW, OLD, SHAPES, Project, Sink, copied, held, ordered
from warm import Warm

from laktory.engines.capabilities import ENGINES

STEP = 10
HAND = {"a.csv": "CSV", "d/": "PARQUET", "t": "DELTA"}


@pytest.fixture(scope="module")
def warm():
    with Warm() as process:
        yield process


@pytest.mark.parametrize("backend", list(ENGINES))
@pytest.mark.parametrize("project", SHAPES, ids=lambda project: project.name)
def test_a_run_killed_at_any_step_is_old_or_new_and_goes_on(project, backend, warm, place):
    killing = Killing(warm, project, backend, place)
    first = killing.random.randint(1, STEP)
    for number, kill_at in enumerate(range(first, killing.calls + 1, STEP)):
        killing.one(CHECKS[(first + number) % len(CHECKS)], kill_at=kill_at)
    assert killing.report.points > 4
    assert not killing.report.violations, "\n".join(killing.report.violations)


@pytest.mark.parametrize("backend", list(ENGINES))
@pytest.mark.parametrize("path", HAND)
def test_a_write_by_hand_killed_at_any_step_leaves_old_or_new_and_no_litter(path, backend, warm, place):
    sink = Sink(path, HAND[path], "OVERWRITE" if path.endswith("/") else "APPEND")
    project = Project("by hand", (("a", None, (sink,)),))
    project.build(place / "old")
    project.give(place / "old", OLD)
    write = {"write": sink.plain()}
    assert warm.run(place / "old", backend, **write).error is None
    project.give(place / "old", NEW)
    before = {path: ordered(OLD)}
    calls = warm.run(copied(place / "old", place / "new"), backend, **write).calls
    assert held(place / "new", project) == project.applied(before)
    for kill_at in range(1 + len(path), calls + 1, 4):
        folder = copied(place / "old", place / "new")
        assert warm.run(folder, backend, kill_at=kill_at, **write).killed
        seen = held(folder, project)
        assert seen in (before, project.applied(before)), kill_at
        # the record of a commit that is pending lies beside the target
        pending = any(folder.glob(".laktory-*/record.json"))
        assert warm.run(folder, backend, **write).error is None
        assert held(folder, project) == project.applied(project.applied(before) if pending else seen), kill_at
        left = [found.name for found in folder.iterdir() if found.name not in ("in.parquet", "pipeline.json", "tmp")]
        assert [*left, *(folder / "tmp").iterdir()] == [path.rstrip("/")], kill_at
