"""Kill -9 after calls that change the file system, here every tenth of a run; `make soak` takes every one."""

import pytest
from killing import CHECKS, Killing
from projects import SHAPES
from warm import Warm

from laktory.engines.capabilities import ENGINES

STEP = 10


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
