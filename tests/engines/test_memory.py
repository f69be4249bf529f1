"""What is told to the engines about memory."""

import os
import subprocess
import sys

import pytest

SHOWN = """
import os, tempfile
from laktory.engines._polars.session import PolarsSession
PolarsSession(tempfile.mkdtemp())
print({name: value for name, value in os.environ.items() if name.startswith("POLARS_OOC")})
"""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"POLARS_OOC_MEMORY_BUDGET_FRACTION": "0.4"}),
        ({"POLARS_OOC_MEMORY_BUDGET_MB": "4000"}, {"POLARS_OOC_MEMORY_BUDGET_MB": "4000"}),
        ({"POLARS_OOC_MEMORY_BUDGET_FRACTION": "0.9"}, {"POLARS_OOC_MEMORY_BUDGET_FRACTION": "0.9"}),
    ],
)
def test_polars_goes_to_disk_early_unless_told_otherwise(given, expected):
    env = {name: value for name, value in os.environ.items() if not name.startswith("POLARS_OOC")} | given
    done = subprocess.run([sys.executable, "-c", SHOWN], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(expected)
