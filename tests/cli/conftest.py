from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from laktory.log import get_logger

ROWS = """\
{"id": 1, "symbol": "A", "price": 1.5}
{"id": 2, "symbol": "B", "price": 2.5}
{"id": 3, "symbol": "A", "price": 3.5}
"""

PIPELINE = """\
name: pl
variables:
  floor: 2
nodes:
- name: brz
  source: {path: in.jsonl, format: JSONL}
  sinks:
  - {path: out/brz.parquet, format: PARQUET}
- name: slv
  source: {node_name: brz}
  transformer:
    nodes:
    - expr: SELECT id, symbol, price FROM {df} WHERE price > ${vars.floor}
- name: gld
  source: {node_name: slv}
  transformer:
    nodes:
    - expr: SELECT symbol, SUM(price) AS price FROM {df} GROUP BY symbol ORDER BY symbol
  sinks:
  - {path: out/gld.parquet, format: PARQUET}
"""


@pytest.fixture(autouse=True)
def untouched_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a command changes in its process is put back."""
    monkeypatch.setattr(logging, "raiseExceptions", logging.raiseExceptions)
    monkeypatch.setattr(sys, "path", list(sys.path))
    level = get_logger("laktory").level
    yield
    logging.getLogger("laktory").setLevel(level)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a pipeline of three nodes, and three rows."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "in.jsonl").write_text(ROWS, "utf-8")
    (folder / "pipeline.yaml").write_text(PIPELINE, "utf-8")
    monkeypatch.chdir(folder)
    return folder
