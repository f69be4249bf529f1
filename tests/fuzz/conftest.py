"""Fuzz tests: short and always the same in `make test`, long and random in `make fuzz`."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzzing import RUNAWAY_MEGABYTES, WALL_SECONDS, Notes

from laktory.log import get_logger

HERE = Path(__file__).parent
FOUND = HERE.parents[1] / ".fuzz"
"""Where the input of an example that had to be killed is kept."""


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    Notes.file = Path(os.environ.get("LAKTORY_FUZZ_NOTES") or tmp_path_factory.mktemp("fuzz") / "notes.json")
    limits = [str(WALL_SECONDS), str(RUNAWAY_MEGABYTES)]
    command = [sys.executable, "-S", "-I", str(HERE / "watching.py"), str(os.getpid()), str(Notes.file)]
    report = FOUND / f"killed-{os.getpid()}.txt"
    with subprocess.Popen([*command, str(report), *limits], stdin=subprocess.PIPE) as watcher:
        yield
        assert watcher.stdin is not None
        watcher.stdin.close()
    Notes.file = None


@pytest.fixture(autouse=True)
def target(
    request: pytest.FixtureRequest, watched: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Every target works in a folder of its own, says nothing, and leaves the process as it was."""
    logger = get_logger("laktory")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    monkeypatch.setattr(logging, "raiseExceptions", logging.raiseExceptions)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    state = random.getstate()
    Notes.target, Notes.examples, Notes.refused = request.node.nodeid, 0, 0
    yield
    random.setstate(state)
    logger.setLevel(level)
