"""Projects lie in memory where there is such a place: a killed process loses nothing that is not on disk yet."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def place():
    memory = "/dev/shm"
    folder = Path(tempfile.mkdtemp(prefix="kills-", dir=memory if os.access(memory, os.W_OK) else None))
    yield folder
    shutil.rmtree(folder)
