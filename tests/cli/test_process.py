"""What only a process of its own shows: exit codes, signals, closed pipes, what is imported."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from laktory.cli.main import COMMANDS
from laktory.cli.stopping import GRACE

NO_SOURCE = """\
error: node 'brz': pipeline.yaml:6:18: nodes[0].source.path: 'in.jsonl' does not exist
    6 |   source: {path: in.jsonl, format: JSONL}
      |                  ^^^^^^^^
"""
SLOW = """\
name: pl
imports: [slow_rows]
nodes:
- name: first
  source: {path: in.jsonl, format: JSONL}
  sinks: [{path: first.parquet, format: PARQUET}]
- name: slow
  source: {custom_reader: slow_rows.read}
  depends_on: [first]
  sinks: [{path: slow.parquet, format: PARQUET}]
- name: after
  source: {node_name: slow}
  sinks: [{path: after.parquet, format: PARQUET}]
"""
SLEEPY = """\
import time
from pathlib import Path

def read():
    Path("started").touch()
    time.sleep(60)
    return {"a": [1]}
"""


def laktory(*args: str) -> list[str]:
    return [sys.executable, "-m", "laktory", *args]


def finished(*args: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(laktory(*args), capture_output=True, encoding="utf-8", timeout=60, check=False, **kwargs)  # type: ignore[call-overload,no-any-return]


def test_exit_codes(project: Path) -> None:
    assert finished("run", "-q").returncode == 0
    Path("in.jsonl").unlink()
    failed = finished("run", "-q")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == NO_SOURCE
    Path("pipeline.yaml").write_text("name: pl\nnodes: 3\n", "utf-8")
    wrong = finished("run")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("pipeline.yaml:2:8: nodes: expected a list, found the number 3\n")
    assert finished("run", "--thread", "x").returncode == 2
    assert finished("rn").returncode == 2


CHATTY = """\
import os
import sys

print("imported")

def read():
    os.system("echo from a program")
    sys.stdout.write("from Python\\n")
    return {"a": [1]}
"""


@pytest.mark.parametrize("arguments", [["run", "--json"], ["plan", "--json"]])
def test_json_is_all_that_standard_output_holds(project: Path, arguments: list[str]) -> None:
    """Whatever the user's functions print, and warnings about the definition too."""
    text = SLOW.replace(
        "{path: in.jsonl, format: JSONL}", "{path: in.jsonl, format: JSONL, schema: {columns: {id: int}}}"
    )
    Path("pipeline.yaml").write_text(text, "utf-8")
    Path("slow_rows.py").write_text(CHATTY, "utf-8")
    done = finished(*arguments)
    assert (done.returncode, json.loads(done.stdout)["pipeline"]) == (0, "pl")
    assert "should be replaced with 'Int32'" in done.stderr
    if arguments[0] == "run":
        assert "from a program\n" in done.stderr
        assert "from Python\n" in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("arguments", [["--json"], []])
def test_signal_stops_the_run(project: Path, number: int, code: int, arguments: list[str]) -> None:
    Path("pipeline.yaml").write_text(SLOW, "utf-8")
    Path("slow_rows.py").write_text(SLEEPY, "utf-8")
    Path("slow.parquet").write_bytes(b"as it was")
    process = subprocess.Popen(
        laktory("run", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - the background ignores it
    )
    try:
        deadline = time.monotonic() + 30
        while not Path("started").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        sent = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=GRACE + 10)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == code
    assert time.monotonic() - sent < GRACE + 3
    assert err.splitlines()[-1].startswith(f"error: stopped by {signal.Signals(number).name}")
    assert "Traceback" not in err
    assert Path("slow.parquet").read_bytes() == b"as it was"
    assert Path("first.parquet").exists()
    assert not Path("after.parquet").exists()
    [kept] = Path(".laktory/pipelines/pl/runs").glob("*/record.json")
    record = json.loads(kept.read_text("utf-8"))
    assert record["status"] == "interrupted"
    assert record["nodes"][0]["status"] == "succeeded"
    if arguments:
        assert json.loads(out) == record
    else:
        assert out.splitlines()[-1].startswith("Pipeline pl interrupted in ")


def test_reader_that_went_away(project: Path) -> None:
    """As with ``| head -1``: no traceback, and a run goes on."""
    for args, code in ((["plan"], 141), (["run"], 0)):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(laktory(*args), stdout=writer, stderr=subprocess.PIPE, encoding="utf-8", check=False)
        os.close(writer)
        assert done.stderr == ""
        assert done.returncode == code
    assert Path("out/gld.parquet").exists()


def test_output_that_cannot_hold_every_character(project: Path) -> None:
    done = finished("plan", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert "df \\u2190 in.jsonl" in done.stdout


def test_terminal_shows_a_summary_and_no_log_lines(project: Path) -> None:
    main, worker = pty.openpty()
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(laktory("run"), stdout=worker, stderr=worker, env=environment):
        os.close(worker)
        shown = b""
        while True:
            try:
                part = os.read(main, 4096)
            except OSError:
                break
            if not part:
                break
            shown += part
    os.close(main)
    text = shown.decode()
    assert "Pipeline pl succeeded" in text
    assert "Executing pipeline node" not in text
    assert "\x1b[3" not in text  # no colours
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    summary = plain[plain.rindex("node ") :]
    assert [line.split()[:2] for line in summary.splitlines()[1:4]] == [[n, "succeeded"] for n in ("brz", "slv", "gld")]


ENGINES = {"polars", "duckdb", "narwhals", "pyarrow", "deltalake"}
HEAVY = ENGINES | {"sqlglot", "yaml", "rich"}


def imported(*calls: list[str]) -> set[str]:
    """Packages that a process has after these calls."""
    code = (
        f"import sys\nfrom laktory.cli import app\nfor args in {list(calls)!r}:\n"
        "    try: app(args)\n    except SystemExit as stop: assert not stop.code, stop.code\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    return {name.partition(".")[0] for name in done.stderr.split()}


def test_help_imports_nothing_heavy() -> None:
    assert imported(["--help"], ["--version"], *([command, "--help"] for command in COMMANDS)) & HEAVY == set()


def test_no_engine_is_imported_where_no_data_moves(project: Path) -> None:
    calls = (["validate"], ["plan"], ["schema"], ["version"], ["run", "--dry-run"])
    assert imported(*calls) & ENGINES == set()
